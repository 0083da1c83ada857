"""A Prefect server of our own: its address and settings, runs of the flow, and runs requested on its pages."""

import http.client
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.errors import BuildFailed
from flows.history import Mode
from ingest.storage.errors import RegularsError
from ingest.storage.settings import Engine, Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import FlowRunResponse

_DEPLOYMENT = "serve"

# By default, Prefect tries each request for a minute.
_PATIENCE = {"PREFECT_CLIENT_MAX_RETRIES": "1", "PREFECT_API_REQUEST_TIMEOUT": "10"}


class ServerNotStarted(RegularsError):
    """No Prefect server answers where the settings name one."""


class ServerLost(RegularsError):
    """Prefect's server stopped answering. The outcome of a refresh that it showed is in the history."""


def running_api(settings: Settings) -> str | None:
    """The address of a Prefect server that answers now: the one the settings name, or the one `serve` started.

    Raises ServerNotStarted where the settings name one and it does not respond.
    """
    if settings.prefect_api_url is not None:
        if not answers(settings.prefect_api_url):
            raise ServerNotStarted(
                f"No Prefect server answers at {settings.prefect_api_url}: start it, or unset PREFECT_API_URL."
            )
        return settings.prefect_api_url
    try:
        address = api_note(settings).read_text().strip()
    except OSError:
        # No server was started, or it has just ended.
        return None
    return address if answers(address) else None


def answers(address: str) -> bool:
    """Whether a Prefect server answers at the address of its API."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as response:  # noqa: S310 - an operator's setting
            return bool(response.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        # Nothing listens, the address is invalid, or the listener doesn't speak HTTP.
        return False


def api_note(settings: Settings) -> Path:
    """The file that holds the address of the server that `serve` started, while that runs."""
    return settings.home / "prefect.url"


def use_api(address: str) -> None:
    """Makes Prefect talk to this server; call it before Prefect is imported, which is when it reads the address."""
    os.environ["PREFECT_API_URL"] = address
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)


def server_environment(settings: Settings) -> dict[str, str]:
    """The environment of our own server and of its clients."""
    return {
        "PREFECT_HOME": str(settings.home.resolve() / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{settings.prefect_port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **_PATIENCE,
        # Without it, looking for requested runs would cost another request each time; the server is on loopback.
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
        # flows/scheduling/schedule.py decides when to refresh.
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
        # Runs are deleted after 90 days, so that the server's file doesn't grow for ever.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    }


def import_prefect() -> None:
    """Imports Prefect and the flow ahead of the first run, which takes seconds."""
    import flows.refresh  # noqa: F401


def run_flow(
    mode: Mode | None = None, *, engine: Engine | None = None, requested: "FlowRunResponse | None" = None
) -> None:
    """Runs the flow in this process, so that the server shows it; `requested` is a run requested on its pages.

    Raises BuildFailed with the run's message, and ServerLost.
    """
    import httpx
    from prefect.flow_engine import run_flow as run_in_engine

    from flows.refresh import refresh

    parameters = None if requested else {"mode": mode, "engine": engine}
    try:
        state: Any = run_in_engine(refresh, flow_run=requested, parameters=parameters, return_type="state")  # type: ignore[arg-type]
    except httpx.HTTPError as error:
        _drop_what_waits()
        raise _lost(error) from None
    if not state.is_completed():
        raise BuildFailed(state.message or "The flow failed; its run in Prefect says why.")


def _drop_what_waits() -> None:
    """Drops the events and log lines that Prefect has for a lost server.

    Otherwise it tries to send them for minutes when this process ends, and no setting limits that.
    """
    from prefect._internal.concurrency.services import _active_services

    for service in list(_active_services):
        if service._loop is not None and service._done_event is not None:
            service._loop.call_soon_threadsafe(service._done_event.set)


def offer_runs() -> None:
    """Makes the deployment by which runs can be requested on the server's pages. It has no schedule."""
    from flows.refresh import refresh

    deployment: Any = refresh.to_deployment(_DEPLOYMENT)
    deployment.apply()


def offered() -> UUID:
    """The deployment that was made. Raises ServerLost."""
    with _client() as client:
        return client.read_deployment_by_name(f"refresh/{_DEPLOYMENT}").id


def requested_runs(deployment: UUID) -> list["FlowRunResponse"]:
    """The requested runs that have not begun. Raises ServerLost."""
    with _client() as client:
        return client.get_scheduled_flow_runs_for_deployments([deployment])


@contextmanager
def _client() -> Iterator["SyncPrefectClient"]:
    import httpx
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            yield client
    except httpx.HTTPError as error:
        raise _lost(error) from None


def _lost(error: Exception) -> ServerLost:
    return ServerLost(f"Prefect's server was lost: {type(error).__name__}.")
