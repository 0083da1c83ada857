"""`regulars refresh` and `regulars rebuild`."""

from typing import Annotated

import typer
from rich.console import Console

from flows.errors import BuildFailed
from flows.history import Mode, Refresh, last
from flows.serving import run_flow, running_api, use_api
from flows.shop_rebuild import ask_for_rebuild
from flows.steps import STEPS, Run, Step, run_refresh
from ingest.storage.settings import Settings
from regulars.cli.opening import open_database

DOING = {
    "prepare_relations": "checking tables and views",
    "match_customers": "matching orders to customers",
    "forecast_purchases": "fitting forecasts that are due",
    "claim_batch": "taking the changes",
    "build_marts": "building and testing the marts",
    "judge_volume": "comparing the last days with the weeks before",
    "publish": "comparing the marts with the raw sales and publishing",
    "settle_relations": "dropping what no model makes any more",
    "audit_shops": "auditing, where a week has passed",
}


def refresh() -> None:
    """Update every number with what changed since the last refresh."""
    _report(_run(None))


def rebuild(
    shop: Annotated[str | None, typer.Option(help="The slug of a shop: recompute its numbers alone.")] = None,
) -> None:
    """Recompute every number from the raw rows, while readers go on reading."""
    if shop is None:
        _report(_run("rebuild"))
        return
    with open_database(Settings.from_environment()) as connection:
        ask_for_rebuild(connection, shop)
    _report(_run(None))


def _run(mode: Mode | None) -> Refresh:
    settings = Settings.from_environment()
    address = running_api(settings)
    if address is not None:
        return _run_flow(settings, mode, address)
    with Console(stderr=True).status("starting") as spinner:

        def perform(step: Step, run: Run) -> object:
            spinner.update(f"{DOING[step.__name__]} ({STEPS.index(step) + 1} of {len(STEPS)})")
            return step(run)

        return run_refresh(settings, mode=mode, perform=perform)


def _run_flow(settings: Settings, mode: Mode | None, address: str) -> Refresh:
    """Runs the flow, so that the Prefect server shows it: that is worth the seconds that importing Prefect takes."""
    use_api(address)
    run_flow(mode)
    with open_database(settings) as connection:
        done = last(connection, succeeded=True)
    if done is None:
        raise BuildFailed("The flow ended, but no refresh is in the history.")
    return done


def _report(done: Refresh) -> None:
    seconds = (done.finished_at - done.started_at).total_seconds() if done.finished_at else 0
    because = f", because {done.reason}" if done.reason else ""
    what = (
        f"Everything was recomputed{because}"
        if done.mode == "rebuild"
        else f"{done.changes or 0:,} changes were applied"
    )
    console = Console(highlight=False)
    console.print(
        f"{what}; {done.matched or 0:,} orders were matched, {done.unreadable or 0:,} more can't be. "
        f"As of {done.as_of:%Y-%m-%d %H:%M:%S} UTC, in {seconds:.1f} s."
    )
    for warning in done.warnings:
        console.print(warning, style="yellow")
