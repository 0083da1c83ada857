"""`regulars refresh` and `regulars rebuild`."""

from rich.console import Console

from flows.errors import BuildFailed
from flows.history import Mode, Refresh, last
from flows.serving import running_api, use_api
from flows.steps import STEPS, Run, Step, run_refresh
from ingest.storage.connections import connect, conninfo
from ingest.storage.settings import Settings

DOING = {
    "prepare_relations": "looking at what stands",
    "match_customers": "matching orders with their customers",
    "claim_batch": "taking what changed",
    "build_marts": "building and testing the marts",
    "publish": "checking the marts against the raw sales and publishing",
    "settle_relations": "putting away what is no longer made",
}


def refresh() -> None:
    """Bring every number up to date with what changed since the last refresh."""
    _report(_run(None))


def rebuild() -> None:
    """Compute every number anew from the raw rows, under the readers' eyes."""
    _report(_run("rebuild"))


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
    """A server is there to show the run: it is worth the seconds that importing Prefect takes."""
    use_api(address)
    from flows.refresh import refresh as flow

    state = flow(mode=mode, return_state=True)
    if not state.is_completed():
        raise BuildFailed(state.message or "The flow failed; its run in Prefect tells why.")
    with connect(conninfo(settings)) as connection:
        done = last(connection, succeeded=True)
    if done is None:
        raise BuildFailed("The flow ended, but no refresh is in the history.")
    return done


def _report(done: Refresh) -> None:
    seconds = (done.finished_at - done.started_at).total_seconds() if done.finished_at else 0
    because = f", because {done.reason}" if done.reason else ""
    what = (
        f"Everything was computed anew{because}" if done.mode == "rebuild" else f"{done.changes or 0:,} changes went in"
    )
    console = Console(highlight=False)
    console.print(
        f"{what}; {done.matched or 0:,} orders were matched, {done.unreadable or 0:,} newly can't be. "
        f"As of {done.as_of:%Y-%m-%d %H:%M:%S} UTC, in {seconds:.1f} s."
    )
    for warning in done.warnings:
        console.print(warning, style="yellow")
