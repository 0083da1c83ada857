"""Whether what an application needs is up: what `/readyz` answers, beside a `/healthz` that only says it is alive."""

import time
from collections.abc import Callable

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi.responses import JSONResponse


class Readiness:
    """Runs a check for each thing that is needed: 200 where all are up, else 503, and each by its name.

    The checks run in a thread that no other request waits for, one at a time. Whoever asks while they run shares
    the next run: however many ask, the database has one more connection at most.
    """

    def __init__(self, checks: dict[str, Callable[[], bool]]) -> None:
        self._checks = checks
        self._one = CapacityLimiter(1)
        self._found: dict[str, bool] = {}
        self._began_at = 0.0

    async def answer(self) -> JSONResponse:
        found = await run_sync(self._look, time.monotonic(), limiter=self._one)
        is_ready = all(found.values())
        return JSONResponse(
            {"status": "ready" if is_ready else "not ready"}
            | {name: "up" if is_up else "down" for name, is_up in found.items()},
            status_code=200 if is_ready else 503,
            headers={"Cache-Control": "no-store"},
        )

    def _look(self, asked_at: float) -> dict[str, bool]:
        """What was found since somebody asked."""
        if self._began_at < asked_at:
            self._began_at = time.monotonic()
            self._found = {name: check() for name, check in self._checks.items()}
        return self._found
