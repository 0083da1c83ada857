"""`regulars customer`: the answer to a data subject's request for access."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from ingest.privacy.access import answer_access_request
from ingest.spool.file import SPOOL, Spool
from ingest.storage.settings import Settings
from regulars.cli.opening import open_database


def customer(
    shop: Annotated[str, typer.Option(help="The shop's slug or id.")],
    phone: Annotated[str, typer.Option(help="The person's phone, in any spelling.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Print everything that is stored about a person of a shop, in the database and in this machine's spool."""
    settings = Settings.from_environment()
    with open_database(settings) as connection:
        held = answer_access_request(
            connection, shop=shop, phone=phone, key=settings.erasure_key, spool=Spool(settings.home / SPOOL)
        )
    if as_json:
        typer.echo(json.dumps(held, indent=2, default=str))
    else:
        _print(Console(highlight=False), held)


def _print(console: Console, held: dict[str, Any]) -> None:
    identity = {"phone": held["phone"]} | (held["customer"] or {})
    _print_facts(console, "customer", identity)
    for kind, rows in held.items():
        if not isinstance(rows, list):
            continue
        console.print(f"\n{kind.replace('_', ' ')}: {len(rows):,}")
        for row in rows:
            event = row.get("event")
            _print_facts(console, "-", row | event if isinstance(event, dict) else row)


def _print_facts(console: Console, label: str, facts: dict[str, Any]) -> None:
    listed = ", ".join(
        f"{name.replace('_', ' ')}: {fact}"
        for name, fact in facts.items()
        if fact is not None and not isinstance(fact, dict)
    )
    # A person's name may look like markup.
    console.print(f"{label} {listed}", markup=False, soft_wrap=True)
