"""The documents name files, headings and commands that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from ingest.bulk.import_file import OrderRow, ShopRow
from regulars.cli.app import app

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = sorted(
    path
    for folder in (_ROOT, _ROOT / "docs", _ROOT / "docs" / "decisions", _ROOT / "benchmarks", _ROOT / ".github")
    for path in folder.glob("*.md")
)
# The change log and the decisions may name commands that there once were.
_CURRENT_PAGES = [page for page in _PAGES if page.name != "CHANGELOG.md" and page.parent.name != "decisions"]


def _anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken_links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        if not linked.exists() or (anchor and anchor not in _anchors(linked)):
            yield target


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(_ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert list(_broken_links(page)) == []


def test_the_page_about_an_export_lists_its_columns() -> None:
    _, _, section = (_ROOT / "docs" / "other-tables.md").read_text(encoding="utf-8").partition("\n## The export\n")
    rows = re.findall(r"^\| (`.+?`) \| (.*) \|$", section, re.MULTILINE)
    named = {column: meaning for cell, meaning in rows for column in re.findall(r"`(\w+)`", cell)}
    fields = ShopRow.model_fields | OrderRow.model_fields
    assert set(named) == set(fields)
    assert {column for column, meaning in named.items() if "optional" in meaning} == {
        column for column, field in fields.items() if not field.is_required()
    }


@pytest.mark.parametrize("page", _CURRENT_PAGES, ids=lambda page: page.relative_to(_ROOT).as_posix())
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"(?:`|^|/|\()regulars ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= set(get_command(app).commands)  # type: ignore[attr-defined]
