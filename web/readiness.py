"""Whether what an application needs is up: what `/readyz` answers, beside a `/healthz` that only says it is alive."""

import time
from collections.abc import Callable

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi.responses import JSONResponse

_SECONDS_IT_HOLDS = 0.5


class Readiness:
    """Runs a check for each thing that is needed: 200 where all are up, else 503, and each by its name.

    The checks run in a thread that no other request waits for, one at a time, and what they find holds for half a
    second: however many ask, the database is asked twice a second at most.
    """

    def __init__(self, checks: dict[str, Callable[[], bool]]) -> None:
        self._checks = checks
        self._one = CapacityLimiter(1)
        self._found: dict[str, bool] = {}
        self._found_at = -_SECONDS_IT_HOLDS

    async def answer(self) -> JSONResponse:
        found = await run_sync(self._look, limiter=self._one)
        is_ready = all(found.values())
        return JSONResponse(
            {"status": "ready" if is_ready else "not ready"}
            | {name: "up" if is_up else "down" for name, is_up in found.items()},
            status_code=200 if is_ready else 503,
            headers={"Cache-Control": "no-store"},
        )

    def _look(self) -> dict[str, bool]:
        if time.monotonic() - self._found_at >= _SECONDS_IT_HOLDS:
            self._found = {name: check() for name, check in self._checks.items()}
            self._found_at = time.monotonic()
        return self._found
