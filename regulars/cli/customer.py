"""`regulars customer`: what is held about a person, for the person who asks."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from ingest.privacy.access import answer_access_request
from ingest.spool.file import SPOOL, Spool
from ingest.storage.connections import connect, conninfo
from ingest.storage.migrations import require_schema
from ingest.storage.settings import Settings


def customer(
    shop: Annotated[str, typer.Option(help="The shop's slug.")],
    phone: Annotated[str, typer.Option(help="The person's phone, in any spelling.")],
    as_json: Annotated[bool, typer.Option("--json", help="For a program rather than a person.")] = False,
) -> None:
    """Tell everything that is held about a person of a shop, in the database and in this machine's spool."""
    settings = Settings.from_environment()
    with connect(conninfo(settings)) as connection:
        require_schema(connection)
        held = answer_access_request(
            connection, shop=shop, phone=phone, key=settings.erasure_key, spool=Spool(settings.home / SPOOL)
        )
    if as_json:
        typer.echo(json.dumps(held, indent=2, default=str))
    else:
        _print(Console(highlight=False), held)


def _print(console: Console, held: dict[str, Any]) -> None:
    identity = {"phone": held["phone"]} | (held["customer"] or {})
    _say(console, "customer", identity)
    for what in ("orders", "visits", "conflicts", "failures", "spooled"):
        rows: list[dict[str, Any]] = held[what]
        console.print(f"\n{what}: {len(rows):,}")
        for row in rows:
            event = row.get("event")
            _say(console, "-", row | event if isinstance(event, dict) else row)


def _say(console: Console, what: str, facts: dict[str, Any]) -> None:
    told = ", ".join(
        f"{name.replace('_', ' ')}: {fact}"
        for name, fact in facts.items()
        if fact is not None and not isinstance(fact, dict)
    )
    # People's names are no markup.
    console.print(f"{what} {told}", markup=False, soft_wrap=True)
