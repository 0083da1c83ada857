"""`/healthz` and `/readyz` of `regulars serve`, from a thread of its own, so that they answer whatever the parts do."""

import http.client
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from flows.history import last
from ingest.storage.errors import SettingError
from regulars.serving.child import Child

_SECONDS = 2
_OPTIONS = f"-c statement_timeout={_SECONDS}s"


class Health:
    """What is up, and how old the numbers are."""

    def __init__(
        self,
        children: Callable[[], Iterable[Child]],
        *,
        conninfo: str,
        stale_after: timedelta,
        left_out: Iterable[str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._children = children
        self._conninfo = conninfo
        self._stale_after = stale_after
        self._left_out = tuple(left_out)
        self._now = now
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._seen: tuple[bool, dict[str, object]] = (False, {})

    def look(self) -> tuple[bool, dict[str, object]]:
        """Whether all is well, and the facts. Requests that come together share one look."""
        asked_at = time.monotonic()
        with self._lock:
            if self._looked_at < asked_at:
                self._looked_at = time.monotonic()
                self._seen = self._look()
            return self._seen

    def _look(self) -> tuple[bool, dict[str, object]]:
        try:
            as_of, is_database_up = self._read_as_of(), True
        except psycopg.Error:
            as_of, is_database_up = None, False
        states = {child.part.name: _state(child) for child in self._children()} | {
            "database": "up" if is_database_up else "down"
        }
        age = self._now() - as_of if as_of else None
        reasons = [f"{name} is {state}" for name, state in states.items() if state != "up"]
        if is_database_up and age is None:
            reasons.append("no refresh has succeeded yet")
        elif age and age > self._stale_after:
            reasons.append("the numbers are too old")
        return not reasons, {
            "status": "not ready" if reasons else "ready",
            "reasons": reasons,
            "as_of": as_of.isoformat() if as_of else None,
            "age_seconds": round(age.total_seconds()) if age else None,
            "stale_after_seconds": round(self._stale_after.total_seconds()),
            "parts": states | dict.fromkeys(self._left_out, "left out"),
        }

    def _read_as_of(self) -> datetime | None:
        with psycopg.connect(
            self._conninfo, autocommit=True, connect_timeout=_SECONDS, options=_OPTIONS,
            application_name="regulars-serve",
        ) as connection:  # fmt: skip
            newest = last(connection, succeeded=True)
        return newest.as_of if newest else None


def _state(child: Child) -> str:
    if child.pid is None:
        return "down"
    if child.part.health is None or _answers(child.part.health):
        return "up"
    return "not answering"


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as response:  # noqa: S310 - our own
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def _application(health: Health) -> Starlette:
    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> JSONResponse:
        is_ready, facts = await run_in_threadpool(health.look)
        return JSONResponse(facts, status_code=200 if is_ready else 503, headers={"Cache-Control": "no-store"})

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz)])


@contextmanager
def health_served(health: Health, *, host: str, port: int) -> Iterator[None]:
    """Serves it from a thread. Raises SettingError where the port is taken, as by another `regulars serve`."""
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingError(
            f"Port {port} of {host} can't be had ({error.strerror}): does `regulars serve` run already? "
            "Choose another with --health-port."
        ) from None
    config = uvicorn.Config(_application(health), log_config=None, access_log=False, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(2)
        listener.close()
