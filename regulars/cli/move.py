"""`regulars move`: the whole database to another server."""

import json
from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.moving.move import Moved
from flows.moving.move import move as move_database
from ingest.storage.connections import conninfo
from ingest.storage.errors import DatabaseError, SettingError
from ingest.storage.settings import Settings


def move(
    to: Annotated[
        str, typer.Option("--to", metavar="DSN", help="The new database, empty: postgresql://user@host:5432/name.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Move to another server: copy the whole database into an empty one, and compare both sides.

    Nobody can write to the old database meanwhile. It is not changed; the new one gets everything or, if the move is
    stopped, nothing.
    """
    settings = Settings.from_environment()
    source, target = conninfo(settings), _target(settings, to)
    try:
        with Console(stderr=True).status("connecting") as spinner:
            done = move_database(source, target, on_step=lambda step: spinner.update(Text(step)))
    except DatabaseError as error:
        raise DatabaseError(str(error).replace("correct DATABASE_URL", "correct DATABASE_URL or --to")) from None
    if as_json:
        typer.echo(json.dumps({**asdict(done), "rows": done.rows}, indent=2))
        return
    _print(Console(highlight=False, soft_wrap=True, markup=False), done, target)


def _target(settings: Settings, to: str) -> str:
    try:
        return conninfo(settings.model_copy(update={"database_url": to}))
    except SettingError:
        raise SettingError("--to can't be read; write postgresql://user:password@host:5432/name.") from None


def _print(console: Console, done: Moved, target: str) -> None:
    shown = Table("schema", "tables", "rows", box=None, pad_edge=False)
    for column in shown.columns[1:]:
        column.justify = "right"
    for schema, group in groupby(done.tables, key=lambda table: table.schema):
        tables = list(group)
        shown.add_row(schema, f"{len(tables):,}", f"{sum(table.rows for table in tables):,}")
    console.print(shown)
    console.print(
        f"Moved {len(done.tables):,} tables with {done.rows:,} rows in {done.seconds:.1f} s; counts and sums are the "
        "same on both sides."
    )
    if done.members:
        console.print(Text("Logins are not in a database.", "yellow"), "Create these there, then run:")
        for statement in done.members:
            console.print(f"  {statement}")
    where = conninfo_to_dict(target)
    console.print(
        f"Set DATABASE_URL to {where.get('host', 'the new server')}, database {where.get('dbname')}, wherever Regulars "
        "runs, checkouts first: what they write to the old database from now on is not in the new one. Then "
        "`regulars refresh`. The old database is as it was; delete it once you have seen the numbers."
    )
