"""The report of a refresh in the terminal."""

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flows.reporting.report import Report
from flows.reporting.text import Section, sections


def print_report(report: Report, console: Console) -> None:
    """Prints the whole report, section by section."""
    for section in sections(report):
        console.print(Text(section.title, style="bold"))
        for text in section.text:
            console.print(Padding(Text(text), (0, 0, 0, 2)))
        if section.rows:
            console.print(Padding(_table(section), (0, 0, 0, 2)))
        console.print()


def _table(section: Section) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    name, *others = section.columns
    table.add_column(name, no_wrap=True, overflow="ellipsis")
    for column in others:
        table.add_column(column, justify="right", no_wrap=True)
    for row in section.rows:
        table.add_row(*map(Text, row))
    return table
