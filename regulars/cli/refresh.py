"""`regulars refresh` and `regulars rebuild`."""

from contextlib import suppress
from typing import Annotated

import psycopg
import typer
from rich.console import Console

from flows.building.shop_rebuild import ask_for_rebuild
from flows.history import Mode, Refresh, last
from flows.reporting.report import Report, read_report
from flows.scheduling.prefect_server import running_api, use_api
from flows.scheduling.shown_run import run_shown
from flows.steps import run_refresh, steps_of
from ingest.storage.errors import InputError, RegularsError
from ingest.storage.settings import Engine, Settings
from regulars.cli.opening import open_database
from regulars.cli.progress import Progress

OnEngine = Annotated[
    Engine | None,
    typer.Option("--engine", help="Where to compute everything anew, if there is anything to do: see docs/spark.md."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole report as JSON, of a failure too.")]


def refresh(as_json: AsJson = False, engine: OnEngine = None) -> None:
    """Update every number with what changed since the last refresh."""
    _run_and_report(None, engine=engine, as_json=as_json)


def rebuild(
    shop: Annotated[str | None, typer.Option(help="The slug of a shop: recompute its numbers alone.")] = None,
    as_json: AsJson = False,
    engine: OnEngine = None,
) -> None:
    """Recompute every number from the raw rows, while readers go on reading."""
    if shop is None:
        _run_and_report("rebuild", engine=engine, as_json=as_json)
        return
    if engine == "spark":
        raise InputError("Spark computes all shops: leave out --shop or --engine.")
    with open_database(Settings.from_environment()) as connection:
        ask_for_rebuild(connection, shop)
    _run_and_report(None, engine="postgres", as_json=as_json)


def _run_and_report(mode: Mode | None, *, engine: Engine | None, as_json: bool) -> None:
    settings = Settings.from_environment().with_engine(engine)
    try:
        done = _run(settings, mode)
    except (RegularsError, psycopg.Error):
        if as_json:
            # What failed is told in any case, even if the database is away.
            with suppress(RegularsError, psycopg.Error):
                _print_failure(settings)
        raise
    if as_json:
        with open_database(settings) as connection:
            _print_json(read_report(connection, done.refresh_id))
    else:
        _print(done)


def _run(settings: Settings, mode: Mode | None) -> Refresh:
    address = running_api(settings)
    if address is not None:
        # That the Prefect server shows it is worth the seconds that importing Prefect takes.
        use_api(address)
        return run_shown(settings, mode)
    with Progress(Console(stderr=True, highlight=False), steps_of(settings)) as progress:
        return run_refresh(settings, mode=mode, perform=progress.perform, watch=progress.watch)


def _print_failure(settings: Settings) -> None:
    """The report of this process's refresh, if that began."""
    with open_database(settings) as connection:
        latest = last(connection)
        if latest and latest.is_of_this_process:
            _print_json(read_report(connection, latest.refresh_id))


def _print_json(report: Report) -> None:
    typer.echo(report.model_dump_json(indent=2))


def _print(done: Refresh) -> None:
    seconds = (done.finished_at - done.started_at).total_seconds() if done.finished_at else 0
    because = f", because {done.reason}" if done.reason else ""
    what = {
        "refresh": f"{done.changes or 0:,} changes were applied",
        "partial": f"{done.changes or 0:,} changes were applied, and models that changed were computed anew",
        "rebuild": f"Everything was recomputed{because}",
    }[done.mode]
    # A warning has names in it.
    console = Console(highlight=False, markup=False)
    console.print(
        f"{what}; {done.matched or 0:,} orders were matched, {done.unreadable or 0:,} more can't be. "
        f"As of {done.as_of:%Y-%m-%d %H:%M:%S} UTC, in {seconds:.1f} s."
    )
    for warning in done.warnings:
        console.print(warning, style="yellow")
