"""A Prefect server of our own, and what goes to and fro: runs of the flow, and runs that its pages ask for."""

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

# By itself, Prefect tries each request for a minute, while nothing else waits for the server.
_PATIENCE = {"PREFECT_CLIENT_MAX_RETRIES": "1", "PREFECT_API_REQUEST_TIMEOUT": "10"}


class ServerNotStarted(RegularsError):
    """No Prefect server answers where the settings name one."""


class ServerLost(RegularsError):
    """Prefect's server stopped answering. What became of a refresh that it showed is in the history."""


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
        # None was started, or it has just ended.
        return None
    return address if answers(address) else None


def answers(address: str) -> bool:
    """Whether a Prefect server answers at the address of its API."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as response:  # noqa: S310 - an operator's setting
            return bool(response.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        # Nobody listens, the address is none, or who listens speaks no HTTP.
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
    """What our own server, and whoever talks to it, needs in its environment."""
    return {
        "PREFECT_HOME": str(settings.home.resolve() / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{settings.prefect_port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **_PATIENCE,
        # It would cost each look for requested runs another request; the server is on loopback.
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
        # When to refresh is decided in flows/scheduling/schedule.py.
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
    """Runs the flow in this process, so that the server shows it; `requested` is a run that its pages ask for.

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
    """Lets go of the events and log lines that Prefect has for a lost server.

    By itself it goes on trying to send them when this process ends, for minutes, and has no setting for how long.
    """
    from prefect._internal.concurrency.services import _active_services

    for service in list(_active_services):
        if service._loop is not None and service._done_event is not None:
            service._loop.call_soon_threadsafe(service._done_event.set)


def offer_runs() -> None:
    """Makes the deployment by which the server's pages can ask for a run. It has no schedule."""
    from flows.refresh import refresh

    deployment: Any = refresh.to_deployment(_DEPLOYMENT)
    deployment.apply()


def offered() -> UUID:
    """The deployment that was made. Raises ServerLost."""
    with _client() as client:
        return client.read_deployment_by_name(f"refresh/{_DEPLOYMENT}").id


def requested_runs(deployment: UUID) -> list["FlowRunResponse"]:
    """The runs that somebody asked for and nobody has begun. Raises ServerLost."""
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
