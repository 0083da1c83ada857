"""Runs a refresh as a Prefect flow; losing the server doesn't change its outcome."""

import logging

from flows.errors import BuildFailed
from flows.history import Mode, Refresh, last
from flows.scheduling.prefect_server import ServerLost, run_flow
from flows.steps import run_refresh
from ingest.storage.connections import connect, conninfo
from ingest.storage.settings import Settings

log = logging.getLogger("regulars.refresh")


def run_shown(settings: Settings, mode: Mode | None = None) -> Refresh:
    """Runs the flow in this process. Without Prefect's server the refresh goes on; if it had not begun, it runs now.

    Raises BuildFailed with the run's message, and what `run_refresh` raises.
    """
    try:
        run_flow(mode, engine=settings.engine)
    except ServerLost as lost:
        log.warning("%s It doesn't show how the refresh ended.", lost)
    with connect(conninfo(settings), application="regulars-refresh") as connection:
        latest = last(connection)
    if latest is None or not latest.is_of_this_process:
        return run_refresh(settings, mode=mode)
    if latest.status != "succeeded":
        raise BuildFailed(latest.error or f"The refresh ended as {latest.status}.")
    return latest
