"""What `pip install regulars` gets: a wheel with everything that runs, and nothing that isn't ours to install."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("ingest", "flows", "regulars")
_DBT = ("dbt_project.yml", "profiles.yml", "models", "macros", "tests/dbt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=_ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (path,) = folder.glob("regulars-*.whl")
    return zipfile.ZipFile(path)


def _files(part: str) -> set[str]:
    path = _ROOT / part
    found = path.rglob("*") if path.is_dir() else [path]
    return {file.relative_to(_ROOT).as_posix() for file in found if file.is_file() and "__pycache__" not in file.parts}


@pytest.mark.parametrize("package", _PACKAGES)
def test_every_file_of_a_package_is_installed(wheel: zipfile.ZipFile, package: str) -> None:
    files = _files(package)
    assert f"{package}/py.typed" in files
    assert files - set(wheel.namelist()) == set()


@pytest.mark.parametrize("part", _DBT)
def test_the_dbt_project_is_installed(wheel: zipfile.ZipFile, part: str) -> None:
    files = _files(part)
    assert files
    assert {f"flows/project/{name}" for name in files} - set(wheel.namelist()) == set()


def test_no_other_package_is_installed(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == set(_PACKAGES)


def test_the_licence_is_in_the_wheel_and_its_metadata(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert message_from_bytes(wheel.read(metadata))["License-Expression"] == "MIT"
    (text,) = (name for name in wheel.namelist() if name.endswith("/LICENSE"))
    assert wheel.read(text) == (_ROOT / "LICENSE").read_bytes()
