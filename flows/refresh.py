"""The flow `refresh`: the steps of a refresh as tasks, so that a Prefect server shows, schedules and retries them."""

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed, State

from flows.errors import BuildFailed, NotReconciled, RefreshRunning
from flows.history import Mode
from flows.steps import Run, Step, run_refresh
from ingest.settings import Settings


def _as_task(step: Step, run: Run) -> object:
    return task(step, name=step.__name__, cache_policy=NO_CACHE, persist_result=False)(run)


@flow(name="refresh", retries=2, retry_delay_seconds=60, persist_result=False)
def refresh(mode: Mode | None = None) -> dict[str, object] | State[object]:
    """Refreshes every number; `mode` "rebuild" computes all of them anew. Answers the row of the history.

    A lost connection is tried again. What a second try would not mend (a test that fails, sums that don't match,
    another refresh running) fails at once.
    """
    try:
        done = run_refresh(Settings.from_environment(), mode=mode, perform=_as_task)
    except (BuildFailed, NotReconciled, RefreshRunning) as error:
        return Failed(message=str(error))
    return {"refresh_id": done.refresh_id, "mode": done.mode, "as_of": str(done.as_of), "changes": done.changes}
