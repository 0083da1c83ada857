"""`regulars status`: how old the numbers are, what waits, and how the last refresh went."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows import history
from flows.alarms.record import open_alarms
from flows.building import project
from flows.publishing import relations
from flows.reporting.report import Report, read_report
from flows.reporting.text import changed, outcome, places, recomputed, seconds
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from regulars.cli.opening import open_database
from regulars.cli.report import print_report


class Status(BaseModel):
    """What `regulars status --json` prints. Ages are in seconds, times in UTC; null if no refresh has run yet."""

    as_of: datetime | None = Field(description="the moment that the numbers hold for")
    age_seconds: int | None = Field(description="how old they are")
    last_refresh: str | None = Field(description="`running`, `succeeded`, `failed`, or `abandoned`: it was killed")
    last_refresh_mode: str | None = Field(description="`refresh`, `partial` or `rebuild`")
    last_refresh_reason: str = Field(description="why it was more than a refresh, where nobody asked for that")
    last_refresh_started_at: datetime | None = Field(description="when it began")
    last_refresh_error: str = Field(description="why it failed")
    last_refresh_warnings: list[str] = Field(description="what somebody should look at")
    changes_waiting: int = Field(description="keys of raw rows that changed since")
    orders_to_match: int = Field(description="orders that wait for their customer")
    orders_with_unreadable_phone: int = Field(description="orders that have none, because their phone can't be read")
    alarms: list[str] = Field(description="the causes of open alarms")
    last_audit_at: datetime | None = Field(description="when shops were last audited")
    made_by_no_model: list[str] = Field(description="relations in our schemas that are somebody else's")
    report: Report | None = Field(description="the report of the last refresh")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a monitor.")] = False,
    whole: Annotated[bool, typer.Option("--report", help="Print the whole report of the last refresh too.")] = False,
) -> None:
    """Show when the numbers were last refreshed, how old they are, how that went, and how much waits."""
    with open_database(Settings.from_environment()) as connection:
        found = gather(connection)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    for name, told in _lines(found):
        table.add_row(name, told)
    console.print(table)
    if whole and found.report:
        console.print()
        print_report(found.report, console)


def _lines(found: Status) -> Iterator[tuple[str, Text]]:
    """Each line's name and what it says; what somebody should look at is in colour."""
    if found.as_of is None or found.age_seconds is None:
        yield "numbers", Text("none yet: run `regulars refresh`", "yellow")
    else:
        yield "numbers", Text(f"as of {found.as_of:%Y-%m-%d %H:%M:%S} UTC, {_age(found.age_seconds)} old")
    if report := found.report:
        yield "last refresh", Text(outcome(report), "bold red" if report.status in ("failed", "abandoned") else "")
        if report.error:
            yield "", Text(report.error, "red")
        if report.reason:
            yield "", Text(recomputed(report))
        for warning in report.warnings:
            yield "", Text(warning, "yellow")
        if report.status == "succeeded":
            yield "", Text(changed(report))
        if report.models:
            yield (
                "longest",
                Text(
                    ", ".join(
                        f"{node.name} {seconds(node.seconds)}"
                        + (f" (usually {seconds(node.usual_seconds)})" if node.usual_seconds is not None else "")
                        for node in report.models[:3]
                    )
                ),
            )
    yield (
        "orders",
        Text(f"{found.orders_to_match:,} to match, {found.orders_with_unreadable_phone:,} whose phone can't be read"),
    )
    yield "waiting", Text(f"{found.changes_waiting:,} changes")
    yield "alarms", Text(", ".join(found.alarms), "bold red") if found.alarms else Text("none")
    audited = found.last_audit_at
    yield "last audit", Text(f"{audited:%Y-%m-%d %H:%M:%S} UTC" if audited else "none yet")
    if found.made_by_no_model:
        yield "made by no model", Text(", ".join(found.made_by_no_model))
    if found.report:
        yield "disk", Text(places(found.report))


def _age(length: int) -> str:
    hours = length / 3600
    if hours < 2:
        return f"{length} s" if length < 100 else f"{length // 60} min"
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"


def gather(connection: Connection) -> Status:
    """What `regulars status` shows."""
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
    report = read_report(connection, latest.refresh_id) if latest else None
    return Status(
        as_of=as_of,
        age_seconds=round((datetime.now(UTC) - as_of).total_seconds()) if as_of else None,
        last_refresh=report.status if report else None,
        last_refresh_mode=report.mode if report else None,
        last_refresh_reason=(report.reason if report else None) or "",
        last_refresh_started_at=report.started_at if report else None,
        last_refresh_error=(report.error if report and report.status == "failed" else None) or "",
        last_refresh_warnings=report.warnings if report else [],
        changes_waiting=waiting[0],
        orders_to_match=waiting[1],
        orders_with_unreadable_phone=waiting[2],
        alarms=[alarm.cause_name for alarm in open_alarms(connection)],
        last_audit_at=audited_at,
        made_by_no_model=relations.left_over(connection, project.relations()),
        report=report,
    )
