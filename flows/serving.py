"""`regulars serve`: a Prefect server on loopback, and the refresh on its schedule."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.storage.errors import RegularsError
from ingest.storage.settings import Settings

_STARTUP_SECONDS = 120


class ServerNotStarted(RegularsError):
    """The Prefect server did not come up."""


def running_api(settings: Settings) -> str | None:
    """The address of a Prefect server that answers now: the one the settings name, or the one `serve` started.

    Raises ServerNotStarted where the settings name one and it does not respond.
    """
    if settings.prefect_api_url is not None:
        if not _answers(settings.prefect_api_url):
            raise ServerNotStarted(
                f"No Prefect server answers at {settings.prefect_api_url}: start it, or unset PREFECT_API_URL."
            )
        return settings.prefect_api_url
    note = _note(settings)
    if note.exists() and _answers(address := note.read_text().strip()):
        return address
    return None


def use_api(address: str) -> None:
    """Makes Prefect talk to this server; call it before Prefect is imported, which is when it reads the address."""
    os.environ["PREFECT_API_URL"] = address


def serve(settings: Settings) -> None:
    """Refreshes every day at the settings' time until it is stopped; starts a Prefect server if none answers."""
    with _server(settings) as address:
        use_api(address)
        from prefect.schedules import Cron

        from flows.refresh import refresh

        # A defect of Prefect on every SIGTERM; it stops anyway.
        warnings.filterwarnings("ignore", message="coroutine 'Runner.astop' was never awaited")
        at = settings.refresh_at
        refresh.serve(
            name="nightly",
            schedule=Cron(f"{at.minute} {at.hour} * * *", timezone=settings.time_zone),
            # A schedule paused on shutdown would stay paused: the next night would silently be skipped.
            pause_on_shutdown=False,
            limit=1,
        )


@contextmanager
def _server(settings: Settings) -> Iterator[str]:
    if (address := running_api(settings)) is not None:
        yield address
        return
    home = settings.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    port = str(settings.prefect_port)
    address = f"http://127.0.0.1:{port}/api"
    environment = os.environ | {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": address,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    with (home / "prefect.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        _await(process, address, log=home / "prefect.log")
        _note(settings).write_text(address)
        yield address
    finally:
        _note(settings).unlink(missing_ok=True)
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def _await(process: "subprocess.Popen[bytes]", address: str, *, log: Path) -> None:
    deadline = time.monotonic() + _STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if _answers(address):
            return
        time.sleep(0.5)
    raise ServerNotStarted(f"The Prefect server did not start; see {log}, or set REGULARS_PREFECT_PORT to a free port.")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as response:  # noqa: S310 - an operator's setting
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _note(settings: Settings) -> Path:
    return settings.home / "prefect.url"
