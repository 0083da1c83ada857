"""The flow `refresh`: the steps of a refresh as tasks, so that a Prefect server shows, schedules and retries them."""

import time

import psycopg
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.history import Mode
from flows.steps import Run, Step, run_refresh
from ingest.storage.errors import RegularsError
from ingest.storage.settings import Settings


def _as_task(step: Step, run: Run) -> object:
    return task(name=step.__name__, cache_policy=NO_CACHE, persist_result=False)(step)(run)


@flow(name="refresh", persist_result=False)
def refresh(mode: Mode | None = None) -> dict[str, object] | State[object]:
    """Refreshes every number; `mode` "rebuild" recomputes all of them. Returns the row of the history.

    A lost connection is tried again after one minute and after another two. Failures that another try would not fix (a
    failing test, sums that differ, another refresh) end the run at once; Prefect's own retries make no such
    difference, so they are not used.
    """
    for patience in (60, 120, None):
        try:
            done = run_refresh(Settings.from_environment(), mode=mode, perform=_as_task)
        except RegularsError as error:
            return Failed(message=str(error))
        except psycopg.OperationalError:
            if patience is None:
                return Failed(message="The connection to the database was lost three times; is the server up?")
            get_run_logger().warning("The connection to the database was lost; trying again in %s s.", patience)
            time.sleep(patience)
        else:
            break
    return {
        "refresh_id": done.refresh_id,
        "mode": done.mode,
        "as_of": str(done.as_of),
        "changes": done.changes,
    }
