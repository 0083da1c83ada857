"""`regulars migrate`."""

from rich.console import Console

from ingest.database import connect, conninfo
from ingest.migrations import migrate as apply
from ingest.roles import raise_wall
from ingest.settings import Settings


def migrate() -> None:
    """Bring the database's schema up to date. Safe to run at any time, and twice."""
    console = Console(highlight=False)
    with connect(conninfo(Settings.from_environment())) as connection:
        applied = apply(connection)
        left = raise_wall(connection)
    for name in applied:
        console.print(f"  applied {name}")
    console.print("The schema is up to date." if applied else "The schema was up to date already.")
    if left:
        console.print(
            "[yellow]These roles are missing and this user may not make them.[/] Let somebody who may run this, "
            "then run `regulars migrate` again:"
        )
        for statement in left:
            console.print(f"  {statement}", soft_wrap=True)
