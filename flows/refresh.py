"""The flow `refresh`: the steps of a refresh as tasks, so that a Prefect server shows, schedules and retries them."""

import time

import httpx
import psycopg
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.errors import without_values
from flows.history import Mode, Refresh
from flows.reporting.report import read_report
from flows.reporting.text import markdown, outcome
from flows.steps import Run, Step, run_refresh
from ingest.storage.connections import connect, conninfo
from ingest.storage.errors import RegularsError
from ingest.storage.settings import Engine, Settings

REPORT = "refresh-report"
"""The key of the artifact that each refresh makes; Prefect's page of it shows all of them, the newest first."""


def _as_task(step: Step, run: Run) -> object:
    return task(name=step.__name__, cache_policy=NO_CACHE, persist_result=False)(_perform)(step, run)


def _perform(step: Step, run: Run) -> object:
    """Prefect logs and keeps whatever a task raises."""
    with without_values():
        return step(run)


def _refresh(mode: Mode | None, engine: Engine | None) -> Refresh:
    """One try, with its report if it began. Raises what a refresh raises."""
    settings = Settings.from_environment().with_engine(engine)
    begun: set[int] = set()

    def perform(step: Step, run: Run) -> object:
        begun.add(run.refresh.refresh_id)
        return _as_task(step, run)

    try:
        return run_refresh(settings, mode=mode, perform=perform)
    finally:
        for refresh_id in begun:
            _publish_report(settings, refresh_id)


def _publish_report(settings: Settings, refresh_id: int) -> None:
    """Shows the report on Prefect's pages. A failure here doesn't change the refresh's outcome."""
    try:
        with connect(conninfo(settings), application="regulars-report") as connection:
            report = read_report(connection, refresh_id)
        create_markdown_artifact(markdown(report), key=REPORT, description=outcome(report))
    except (RegularsError, psycopg.Error, httpx.HTTPError) as error:
        get_run_logger().warning("The refresh has no report on this page: %s.", type(error).__name__)


@flow(name="refresh", persist_result=False)
def refresh(mode: Mode | None = None, engine: Engine | None = None) -> dict[str, object] | State[object]:
    """Refreshes every number; `mode` "rebuild" recomputes all of them. Returns the row of the history.

    `engine`: where it computes; by default as the settings say.

    After a lost connection it tries again after one minute, and again after another two. Failures that another try
    would not fix (a failing test, sums that differ, another refresh) end the run at once; Prefect's own retries don't
    distinguish them, so they are not used. Each try that begins makes a report, its artifact `refresh-report`.
    """
    for patience in (60, 120, None):
        try:
            done = _refresh(mode, engine)
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
