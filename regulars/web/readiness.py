"""`/readyz`: whether what an application needs is up. `/healthz` says only that the process is alive."""

import time
from collections.abc import Callable

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi.responses import JSONResponse


class Readiness:
    """Runs a check for each dependency: 200 if all are up, 503 otherwise, with the state of each by name.

    The checks run one at a time in a thread that no other request waits for. Requests that come while they run share
    the next run, so that any number of requests opens one more connection to the database at most.
    """

    def __init__(self, checks: dict[str, Callable[[], bool]]) -> None:
        self._checks = checks
        self._one = CapacityLimiter(1)
        self._results: dict[str, bool] = {}
        self._began_at = 0.0

    async def answer(self) -> JSONResponse:
        results = await run_sync(self._check, time.monotonic(), limiter=self._one)
        is_ready = all(results.values())
        return JSONResponse(
            {"status": "ready" if is_ready else "not ready"}
            | {name: "up" if is_up else "down" for name, is_up in results.items()},
            status_code=200 if is_ready else 503,
            headers={"Cache-Control": "no-store"},
        )

    def _check(self, requested_at: float) -> dict[str, bool]:
        """Results no older than the request."""
        if self._began_at < requested_at:
            self._began_at = time.monotonic()
            self._results = {name: check() for name, check in self._checks.items()}
        return self._results
