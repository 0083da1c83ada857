"""Refreshes when that is due, and tries again after a failure."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg

from flows.errors import reason
from flows.history import last
from flows.scheduling.schedule import Schedule
from ingest.storage.connections import connect, conninfo
from ingest.storage.errors import RegularsError
from ingest.storage.settings import Settings

log = logging.getLogger("regulars.serve.refresh")

_FIRST_RETRY, _LONGEST_RETRY = timedelta(minutes=1), timedelta(hours=1)


class Refresher:
    """Calls `refresh` when that is due. After a failure it waits a minute, then twice as long, up to an hour."""

    def __init__(
        self,
        settings: Settings,
        refresh: Callable[[], object],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._schedule = Schedule.of(settings)
        self._refresh = refresh
        self._now = now
        self._as_of: datetime | None = None
        self._not_before: datetime | None = None
        self._retry_in = _FIRST_RETRY

    def tick(self) -> None:
        """Refreshes if that is due now."""
        now = self._now()
        if self._not_before is not None and now < self._not_before:
            return
        try:
            if self._is_due(now):
                log.info("A refresh is due.")
                self._refresh()
        except (RegularsError, psycopg.Error) as error:
            self._put_off(error)
        else:
            self._not_before, self._retry_in = None, _FIRST_RETRY

    def _is_due(self, now: datetime) -> bool:
        """Asks the database only if the moment known here is too old: another process may have refreshed."""
        if self._schedule.is_due(self._as_of, now):
            with connect(conninfo(self._settings), application="regulars-serve") as connection:
                newest = last(connection, succeeded=True)
            self._as_of = newest.as_of if newest else None
        return self._schedule.is_due(self._as_of, now)

    def _put_off(self, error: Exception) -> None:
        log.error("A refresh is due and failed; it is tried again in %s. %s", self._retry_in, reason(error))
        self._not_before = self._now() + self._retry_in
        self._retry_in = min(2 * self._retry_in, _LONGEST_RETRY)
