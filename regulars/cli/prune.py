"""`regulars prune`: less to store, and the same numbers."""

import json
from datetime import UTC, date, datetime
from typing import Annotated

import typer
from rich.console import Console

from flows.history import count_old, forget_old
from ingest.bulk.folding import Folded, find_old_visits, fold_old_visits
from ingest.storage.settings import Settings
from regulars.cli.opening import open_database


def prune(
    older_than: Annotated[
        int, typer.Option("--older-than", min=1, metavar="MONTHS", help="Whole calendar months that stay as they are.")
    ] = 13,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Fold old visits and delete the history of old refreshes; no number changes.

    Visits of one day that differ in nothing but the time of day become one row, which says how many it is. Safe at any
    time, beside checkouts; stopped anywhere, run it again.
    """
    before = _month_before(datetime.now(UTC).date(), older_than)
    with open_database(Settings.from_environment()) as connection:
        if dry_run:
            visits, refreshes = find_old_visits(connection, before=before), count_old(connection, before=before)
        else:
            with Console(stderr=True).status("looking for old visits") as spinner:
                visits = fold_old_visits(
                    connection, before=before, on_batch=lambda rows: spinner.update(f"folded {rows:,} rows of visits")
                )
            refreshes = forget_old(connection, before=before)
    if as_json:
        facts = {
            "before": str(before),
            "dry_run": dry_run,
            "visit_rows": visits.rows,
            "visit_rows_kept": visits.kept,
            "refreshes": refreshes,
        }
        typer.echo(json.dumps(facts, indent=2))
        return
    _print(Console(highlight=False, soft_wrap=True), before, visits, refreshes, dry_run=dry_run)


def _print(console: Console, before: date, visits: Folded, refreshes: int, *, dry_run: bool) -> None:
    may = "would be" if dry_run else "were"
    console.print(f"Of what is from before {before:%-d %B %Y}:")
    console.print(
        f"  visits: {visits.rows:,} rows {may} folded into {visits.kept:,}. No number changes; what goes is the time "
        "of day, and what their referrers have after the host."
    )
    console.print(f"  history: {refreshes:,} refreshes {may} deleted; the last that succeeded stays.")
    console.print("The change log, the batch and the deltas need no pruning: each refresh empties them.")
    if visits.rows and not dry_run:
        console.print("The next refresh takes it over into analytics.visits. PostgreSQL uses the space again.")


def _month_before(today: date, months: int) -> date:
    """The first day of the month that many whole months before this one. (A shop's own calendar decides its visits.)"""
    years, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return date(years, month + 1, 1)
