"""The process of `regulars serve` that refreshes: on schedule, and whenever Prefect's pages ask for it."""

import logging
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from uuid import UUID

import psycopg

from flows import serving
from flows.history import last
from flows.schedule import Schedule
from flows.steps import run_refresh
from ingest.storage.connections import connect, conninfo
from ingest.storage.errors import RegularsError
from ingest.storage.settings import Settings

log = logging.getLogger("regulars.serve.refresh")

_TICK_SECONDS = 5.0
_SECONDS_FOR_PREFECT = 120.0
_FIRST_RETRY, _LONGEST_RETRY = timedelta(minutes=1), timedelta(hours=1)


class Refresher:
    """Refreshes when that is due. A failed one is tried again after a minute, then twice as long, an hour at most.

    With a Prefect server in the settings it runs as a flow; while that server is away, without Prefect.
    """

    def __init__(self, settings: Settings, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._schedule = Schedule.of(settings)
        self._now = now
        self._as_of: datetime | None = None
        self._not_before: datetime | None = None
        self._retry_in = _FIRST_RETRY
        self._deployment: UUID | None = None
        self._is_busy = self._is_stopping = False

    def run(self) -> None:
        """Runs until SIGTERM. During a refresh it ends after that; to kill it is safe too, the next one takes over."""
        signal.signal(signal.SIGTERM, self._stop)
        self._await_prefect()
        while not self._is_stopping:
            self.tick()
            time.sleep(_TICK_SECONDS)

    def tick(self) -> None:
        """Refreshes if that is due, then runs what the server's pages ask for."""
        now = self._now()
        if self._not_before is None or now >= self._not_before:
            try:
                if self._is_due(now):
                    self._refresh()
            except (RegularsError, psycopg.Error) as error:
                self._put_off(error)
            else:
                self._not_before, self._retry_in = None, _FIRST_RETRY
        if self._prefect_answers():
            self._run_requested()

    def _is_due(self, now: datetime) -> bool:
        """Asks the database only where the moment known here is too old: somebody else may have refreshed."""
        if self._schedule.is_due(self._as_of, now):
            with connect(conninfo(self._settings), application="regulars-serve") as connection:
                newest = last(connection, succeeded=True)
            self._as_of = newest.as_of if newest else None
        return self._schedule.is_due(self._as_of, now)

    def _refresh(self) -> None:
        began = time.monotonic()
        self._is_busy = True
        try:
            if self._prefect_answers():
                serving.run_flow()
            else:
                run_refresh(self._settings)
        finally:
            self._is_busy = False
        log.info("Refreshed in %.1f s.", time.monotonic() - began)

    def _put_off(self, error: Exception) -> None:
        # PostgreSQL's own text may hold a phone number.
        reason = str(error) if isinstance(error, RegularsError) else f"{type(error).__name__}."
        log.error("A refresh is due and failed; it is tried again in %s. %s", self._retry_in, reason)
        self._not_before = self._now() + self._retry_in
        self._retry_in = min(2 * self._retry_in, _LONGEST_RETRY)

    def _run_requested(self) -> None:
        if self._deployment is None:
            self._deployment = serving.offer_runs()
        for run in serving.requested_runs(self._deployment):
            self._is_busy = True
            try:
                serving.run_flow(requested=run)
            except RegularsError as error:
                log.error("A refresh that Prefect's pages asked for failed. %s", error)
            finally:
                self._is_busy = False

    def _prefect_answers(self) -> bool:
        return self._settings.prefect_api_url is not None and serving.answers(self._settings.prefect_api_url)

    def _await_prefect(self) -> None:
        """Prefect's server starts beside this process; a refresh that is due should show up in it."""
        deadline = time.monotonic() + _SECONDS_FOR_PREFECT
        while self._settings.prefect_api_url and not self._prefect_answers() and time.monotonic() < deadline:
            time.sleep(0.5)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_busy:
            sys.exit()
        self._is_stopping = True
