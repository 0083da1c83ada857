"""A copy of the dbt project whose models a test may change."""

import shutil
from pathlib import Path

import pytest

from flows.building import project


def keep_what_dbt_parsed(before: Path, home: Path) -> None:
    """Gives a folder of a test's own what dbt has parsed for the tests before it, which takes seconds to do again."""
    for path in before.glob("dbt/*/*"):
        if path.name in ("fingerprint", "partial_parse.msgpack"):
            kept = home / path.relative_to(before)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, kept)


class Project:
    """The models in a folder of the test's own, which every refresh of this process then runs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        home = project.project_folder()
        for part in ("models", "macros", "tests/dbt"):
            shutil.copytree(home / part, folder / part)
        for part in ("dbt_project.yml", "profiles.yml"):
            shutil.copy(home / part, folder / part)
        self._folder, self._home = folder, home
        monkeypatch.setattr(project, "project_folder", lambda: folder)

    def change(self, path: str, *replacements: tuple[str, str]) -> None:
        file = self._folder / "models" / path
        text = file.read_text(encoding="utf-8")
        for old, new in replacements:
            assert text.count(old) >= 1, f"{path}: {old}"
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")

    def write(self, path: str, text: str) -> None:
        (self._folder / "models" / path).write_text(text, encoding="utf-8")

    def take_back(self, *paths: str) -> None:
        """Makes files what they were, with the times that they had."""
        for path in paths:
            shutil.copy2(self._home / "models" / path, self._folder / "models" / path)

    def remove(self, path: str) -> None:
        (self._folder / "models" / path).unlink()
