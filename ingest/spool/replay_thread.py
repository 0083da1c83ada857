"""The background thread that replays a process's spool."""

import logging
import threading
import time

import psycopg

from ingest.spool.file import Spool, SpoolRefused
from ingest.spool.outage import Outage
from ingest.spool.replay import replay
from ingest.storage.budget import SESSION, BudgetedConnection
from ingest.storage.errors import RegularsError
from ingest.storage.threads import start_thread

log = logging.getLogger("regulars.ingest")

_SECONDS_TO_CONNECT = 5
_PATIENCE_SECONDS = 5.0
_SHORTEST_PAUSE = 0.1  # seconds
_LONGEST_PAUSE = 60.0
_PAUSE_AFTER_ERROR = 1.0


class ReplayThread:
    """Runs from `wake` until the spool is empty. During an outage it waits."""

    def __init__(self, conninfo: str, spool: Spool, outage: Outage) -> None:
        self._conninfo = conninfo
        self._spool = spool
        self._outage = outage
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """To be called when an event has been spooled, or when the database is back."""
        self._woken.set()
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = start_thread(self._replay_until_empty, name="replay")

    def close(self) -> None:
        """Ends the thread; spooled events stay for the next process."""
        self._closed.set()
        self._woken.set()
        thread = self._thread
        if thread is not None:
            thread.join(5)

    def _replay_until_empty(self) -> None:
        while not self._closed.wait(_SHORTEST_PAUSE):
            self._woken.clear()
            if not self._outage.wait_until_over(_SHORTEST_PAUSE):
                continue
            pause = self._replay()
            with self._lock:
                if pause is None and not self._woken.is_set():
                    self._thread = None
                    return
            self._woken.wait(pause)

    def _replay(self) -> float | None:
        """Replays once; returns the seconds until the next event is due, or None if the spool is empty."""
        try:
            with BudgetedConnection.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=_SECONDS_TO_CONNECT,
                application_name="regulars-replay",
                options=SESSION,
            ) as connection:
                connection.patience = _PATIENCE_SECONDS
                replay(connection, self._spool, only_due=True, goes_on=self._goes_on)
            due = self._spool.next_due()
        except SpoolRefused as error:
            log.error("the spool waits: %s", error)
            return _PAUSE_AFTER_ERROR
        except (psycopg.Error, RegularsError, OSError) as error:
            log.info("the spool waits: %s", type(error).__name__)
            return _PAUSE_AFTER_ERROR
        return None if due is None else min(max(due - time.time(), 0), _LONGEST_PAUSE)

    def _goes_on(self) -> bool:
        return not self._closed.is_set() and not self._outage.is_on
