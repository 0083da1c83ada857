"""`regulars status`: how old the numbers are, what waits, and how the last refresh ended."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows import history, project, relations
from flows.alarms.record import open_alarms
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from regulars.cli.opening import open_database


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a monitor.")] = False,
) -> None:
    """Show when the numbers were last refreshed, how old they are, and how much waits."""
    with open_database(Settings.from_environment()) as connection:
        facts = gather(connection)
    if as_json:
        typer.echo(json.dumps(facts, indent=2, default=str))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, fact in facts.items():
        table.add_row(name.replace("_", " "), _described(fact))
    Console(highlight=False).print(table)


def _described(fact: object) -> str:
    if fact is None:
        return "never"
    if isinstance(fact, datetime):
        return f"{fact:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(fact, list):
        return ", ".join(map(str, fact)) or "none"
    return f"{fact:,}" if isinstance(fact, int) else str(fact) or "none"


def gather(connection: Connection) -> dict[str, object]:
    """What `regulars status` shows. Ages are in seconds, times in UTC; None if no refresh has run yet."""
    latest, good = history.last(connection), history.last(connection, succeeded=True)
    as_of = good.as_of if good else None
    waiting = connection.execute(
        """
        select
            (select count(*) from (select distinct entity, shop_id, entity_id from regulars.changes) as keys),
            (
                select count(*)
                from (
                    select order_id from regulars.orders_to_match
                    union
                    select changes.entity_id
                    from regulars.changes as changes
                    inner join regulars.unmatched_orders as unmatched on changes.entity_id = unmatched.order_id
                    where changes.entity = 'order'
                ) as waiting
            ),
            (select count(*) from regulars.unreadable_phones)
        """
    ).fetchone() or (0, 0, 0)
    (audited_at,) = connection.execute("select max(audited_at) from regulars.audits").fetchone() or (None,)
    return {
        "as_of": as_of,
        "age_seconds": round((datetime.now(UTC) - as_of).total_seconds()) if as_of else None,
        "last_refresh": latest.status if latest else None,
        "last_refresh_mode": latest.mode if latest else None,
        "last_refresh_reason": (latest.reason if latest else None) or "",
        "last_refresh_started_at": latest.started_at if latest else None,
        "last_refresh_error": latest.error if latest and latest.status == "failed" else "",
        "last_refresh_warnings": latest.warnings if latest else [],
        "changes_waiting": waiting[0],
        "orders_to_match": waiting[1],
        "orders_with_unreadable_phone": waiting[2],
        "alarms": [alarm.cause_name for alarm in open_alarms(connection)],
        "last_audit_at": audited_at,
        "made_by_no_model": relations.left_over(connection, project.relations()),
    }
