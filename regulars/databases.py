"""`regulars migrate`."""

from rich.console import Console

from ingest.database import connect, conninfo
from ingest.migrations import migrate as apply
from ingest.settings import Settings


def migrate() -> None:
    """Bring the database's schema up to date. Safe to run at any time, and twice."""
    console = Console(highlight=False)
    with connect(conninfo(Settings.from_environment())) as connection:
        applied = apply(connection)
    for name in applied:
        console.print(f"  applied {name}")
    console.print("The schema is up to date." if applied else "The schema was up to date already.")
