"""Every command opens the database in the same way."""

import ast
from pathlib import Path

import pytest

_CLI = Path(__file__).resolve().parents[2] / "regulars" / "cli"

# Commands that open it by themselves, and why.
_OPEN_BY_THEMSELVES = {
    "opening": "is the helper",
    "sql": "checks the analyst's role instead of the schema's version",
}


@pytest.mark.parametrize("path", sorted(_CLI.glob("*.py")), ids=lambda path: path.stem)
def test_a_command_opens_the_database_through_the_one_helper(path: Path) -> None:
    imported = {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert path.stem in _OPEN_BY_THEMSELVES or "connect" not in imported
