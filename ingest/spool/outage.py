"""An outage of the database: it begins with an error, and ends when a probe succeeds."""

import logging
import threading
import time
from collections.abc import Callable

import psycopg

from ingest.storage.budget import BudgetedConnection
from ingest.storage.group_commit import WAIT_FOR_THE_DISK
from ingest.storage.pool import NoneFree
from ingest.storage.threads import start_thread

log = logging.getLogger("regulars.ingest")

_FIRST_PAUSE = 0.05  # seconds between two probes; it doubles up to the longest
_LONGEST_PAUSE = 0.5
_PATIENCE_SECONDS = 1.0
_SECONDS_TO_CONNECT = 2  # the minimum of libpq

# SQLSTATE classes: connections, resources, and a server that is shutting down or starting.
_STATES_OF_AN_OUTAGE = ("08", "53", "57P", "58")


def is_outage(error: Exception) -> bool:
    """Whether the error means that the database is down. Otherwise it concerns one event, and others need not wait."""
    if isinstance(error, NoneFree):
        return False
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_STATES_OF_AN_OUTAGE)
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, OSError))


class Outage:
    """Knows whether the database is down. During an outage one thread probes it, and nobody else has to.

    `at_begin` and `at_end` are called in that thread, `at_end` just before the outage is over.
    """

    def __init__(self, conninfo: str, *, at_begin: Callable[[], None], at_end: Callable[[], None]) -> None:
        self._conninfo = conninfo
        self._at_begin = at_begin
        self._at_end = at_end
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._over.set()
        self._closed = threading.Event()
        self._ended_at = 0.0
        self._pause = _FIRST_PAUSE

    @property
    def is_on(self) -> bool:
        return not self._over.is_set()

    def begin(self, reason: str) -> None:
        """Begins an outage; does nothing if there is one already."""
        with self._lock:
            if self.is_on:
                return
            self._over.clear()
            if start_thread(self._probe_until_over, name="outage") is None:
                self._over.set()
                return
        log.warning("the database is down (%s): events are spooled until it answers", reason)

    def wait_until_over(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds; returns whether the outage is over."""
        return self._over.wait(timeout)

    def close(self) -> None:
        self._closed.set()

    def _probe_until_over(self) -> None:
        began = time.monotonic()
        # After a recent outage the backoff goes on: the database answers probes, but takes no events.
        if began - self._ended_at > 2 * _LONGEST_PAUSE:
            self._pause = _FIRST_PAUSE
        self._at_begin()
        while not self._closed.wait(self._pause):
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            try:
                self._probe()
            except (psycopg.Error, OSError) as error:
                log.debug("the database is still down: %s", type(error).__name__)
                continue
            self._ended_at = time.monotonic()
            log.warning("the database answers again after %.1f s", self._ended_at - began)
            self._at_end()
            self._over.set()
            return

    def _probe(self) -> None:
        """Tests whether the database can commit, and not only answer: a full disk, or a synchronous standby that is
        away, would cost each checkout its budget."""
        with BudgetedConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=_SECONDS_TO_CONNECT, application_name="regulars-probe"
        ) as connection:
            connection.deadline = time.monotonic() + _PATIENCE_SECONDS
            connection.execute(WAIT_FOR_THE_DISK)
