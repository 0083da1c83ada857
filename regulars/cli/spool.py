"""`regulars spool`: what waits on this machine's disk until the database takes it."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ingest.spool.file import SPOOL, Spool
from ingest.spool.replay import replay
from ingest.storage.connections import connect, conninfo
from ingest.storage.errors import InputError
from ingest.storage.migrations import require_schema
from ingest.storage.settings import Settings

spool = typer.Typer(help="What waits on this machine's disk until the database takes it.", no_args_is_help=True)


@spool.command("list")
def list_events(limit: Annotated[int, typer.Option(help="How many, the oldest first.", min=1)] = 50) -> None:
    """Tell what waits, since when, and why what was set aside was. The events themselves are people's: not shown."""
    opened, console = _open(), Console(highlight=False)
    table = Table("number", "kind", "since", "tries", "state", box=None, pad_edge=False)
    for event in opened.everything(limit=limit):
        state = f"set aside: {event.set_aside_because}" if event.set_aside_because else "waits"
        table.add_row(
            str(event.event_id), event.kind, f"{event.spooled_at:%Y-%m-%d %H:%M:%S} UTC", str(event.tries), state
        )
    if table.row_count:
        console.print(table)
    console.print(f"{opened.count():,} events wait in {opened.path}.")
    for aside in opened.set_aside_files():
        console.print(
            f"{aside} was damaged: save what can be saved with `sqlite3 {aside} .recover`, then delete it.",
            soft_wrap=True,
        )


@spool.command("replay")
def replay_events() -> None:
    """Write what waits to the database, in its order."""
    with connect(conninfo(Settings.from_environment())) as connection:
        require_schema(connection)
        done = replay(connection, _open())
    Console(highlight=False).print(
        f"{done.written:,} written, {done.set_aside:,} set aside, {done.left:,} left for later."
    )


@spool.command("drop")
def drop_event(number: Annotated[int, typer.Argument(help="As `regulars spool list` tells it.")]) -> None:
    """Forget one event for good."""
    if not _open().remove(number):
        raise InputError(f"No event {number} is in the spool; `regulars spool list` tells those that are.")
    Console(highlight=False).print(f"Event {number} is forgotten.")


def _open() -> Spool:
    return Spool(Settings.from_environment().home / SPOOL)
