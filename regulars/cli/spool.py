"""`regulars spool`: the events that wait on this machine's disk for the database."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ingest.spool.file import SPOOL, Spool
from ingest.spool.replay import replay
from ingest.storage.errors import InputError
from ingest.storage.settings import Settings
from regulars.cli.opening import open_database

spool = typer.Typer(help="The events that wait on this machine's disk for the database.", no_args_is_help=True)


@spool.command("list")
def list_events(limit: Annotated[int, typer.Option(help="How many to list, the oldest first.", min=1)] = 50) -> None:
    """List the events: since when each waits, or why it was set aside. What they say about people is not shown."""
    opened, console = _open(), Console(highlight=False, markup=False)
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
            f"{aside} was damaged: recover what you can with `sqlite3 {aside} .recover`, then delete it.",
            soft_wrap=True,
        )


@spool.command("replay")
def replay_events() -> None:
    """Write the waiting events to the database, in their order."""
    with open_database(Settings.from_environment()) as connection:
        done = replay(connection, _open())
    Console(highlight=False).print(
        f"{done.written:,} written, {done.set_aside:,} set aside, {done.left:,} left for later."
    )


@spool.command("drop")
def drop_event(number: Annotated[int, typer.Argument(help="The number that `regulars spool list` shows.")]) -> None:
    """Delete one event for good."""
    if not _open().remove(number):
        raise InputError(f"No event {number} is in the spool; `regulars spool list` shows the events that are.")
    Console(highlight=False).print(f"Event {number} is deleted.")


def _open() -> Spool:
    return Spool(Settings.from_environment().home / SPOOL)
