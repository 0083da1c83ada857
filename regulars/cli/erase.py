"""`regulars erase`: removes a person's phone, e-mail and name; orders and totals stay."""

from typing import Annotated

import typer
from rich.console import Console

from ingest.privacy.erasure import erase as erase_person
from ingest.privacy.person import describe_unresolved
from ingest.privacy.phone_hash import required_key
from ingest.spool.file import SPOOL, Spool
from ingest.storage.settings import Settings
from regulars.cli.opening import open_database


def erase(
    shop: Annotated[str, typer.Option(help="The shop's slug or id.")],
    phone: Annotated[str, typer.Option(help="The person's phone, in any spelling.")],
    by: Annotated[
        str | None, typer.Option(help="Who erases, for the record of the erasure; by default the database's user.")
    ] = None,
) -> None:
    """Erase a person from a shop: removes phone, e-mail and name, keeps orders and totals. The phone is never
    printed or logged. Run it on each machine that has a spool."""
    settings = Settings.from_environment()
    key = required_key(settings)
    with open_database(settings) as connection:
        done = erase_person(connection, shop=shop, phone=phone, key=key, spool=Spool(settings.home / SPOOL), by=by)
    when = f"{done.erased_at:%Y-%m-%d %H:%M:%S} UTC by {done.erased_by}"
    left = f"{done.orders:,} orders and {done.events:,} kept events"
    console = Console(highlight=False, markup=False)
    console.print(
        f"Already erased: {when}. This time {left} were erased as well."
        if done.was_erased
        else f"Erased: {when}; {left} no longer hold an identity."
    )
    if done.unresolved:
        console.print(describe_unresolved(done.unresolved), soft_wrap=True)
