"""`regulars migrate`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ingest.storage.connections import Connection
from ingest.storage.indexes import missing_indexes
from ingest.storage.migrations import migrate as apply
from ingest.storage.migrations import pending
from ingest.storage.roles import grant_roles, missing_roles
from ingest.storage.settings import Settings
from ingest.storage.storefront import StandingTable, Storefront, shop_settings, survey
from regulars.cli.opening import open_database


def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and change nothing.")] = False,
) -> None:
    """Bring the database's schema up to date. Safe to run at any time, and twice."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    with open_database(Settings.from_environment(), must_be_migrated=False) as connection:
        storefront = survey(connection)
        _print_found(console, connection, storefront)
        if dry_run:
            _print_plan(console, connection, storefront)
            return
        applied = apply(connection, on_step=lambda name: console.print(f"  applying {name}"))
        left = grant_roles(connection)
        console.print("The schema is up to date." if applied else "The schema was up to date already.")
        _print_shops(console, connection)
    if left:
        console.print(
            Text("These roles are missing and this user may not create them.", "yellow"),
            "Ask somebody who may to run this, then run `regulars migrate` again:",
        )
        for statement in left:
            console.print(f"  {statement}")


def _print_found(console: Console, connection: Connection, storefront: Storefront) -> None:
    if not storefront.standing:
        console.print(f"Found no storefront in the database {connection.info.dbname}.")
    for table in storefront.standing:
        times = ", its times are read as UTC" if table.has_naive_times else ""
        console.print(f"Found {_described(table)}{times}.")
    if storefront.earlier:
        console.print(
            f"Found an earlier customer tracking: {' and '.join(map(_described, storefront.earlier))}. Its tables and "
            "the code that writes them stay as they are; each refresh takes over the links that they recorded."
        )


def _described(table: StandingTable) -> str:
    return f"{table.name} (about {table.rows:,} rows)" if table.rows else table.name


def _print_plan(console: Console, connection: Connection, storefront: Storefront) -> None:
    steps = [f"apply {name}" for name in pending(connection)]
    if steps:
        steps[:0] = [f"create the table {name}" for name in storefront.missing]
    steps += [
        f"build the index {index.name} on {index.table} ({index.column}), concurrently"
        for index in missing_indexes(connection)
    ]
    steps += [f"create the role {role}" for role in missing_roles(connection)]
    console.print("It would:" if steps else "The schema is up to date; there is nothing to do.")
    for step in steps:
        console.print(f"  {step}")


def _print_shops(console: Console, connection: Connection) -> None:
    settings = shop_settings(connection)
    for each in settings:
        console.print(
            f"{each.shops:,} {'shop' if each.shops == 1 else 'shops'}: country {each.country}, "
            f"time zone {each.time_zone}, currency {each.currency}."
        )
    if settings:
        console.print(
            "If that is wrong: update user_shops set country = 'KE', timezone = 'Africa/Nairobi', currency = 'KES' "
            "where shop_slug = '…'; the next refresh reads the shop's phones and days again."
        )
