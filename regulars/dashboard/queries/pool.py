"""A few connections for many threads: opened when they are needed, checked before they are used, never queued for."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.pq import TransactionStatus

from ingest.storage.budget import BudgetedConnection

_SECONDS_TO_CONNECT = 2
"""The least that libpq and psycopg take."""

_SECONDS_OF_LIFE = 3600.0
"""Sessions grow with what they have read, and a login's rights and passwords change."""


class NoConnection(psycopg.OperationalError):
    """In the time that there was no connection was free, or none of them answered; or the pool is closed."""


class _Connection(BudgetedConnection):
    opened_at = 0.0


class Pool:
    """At most `size` connections at a time. `close()` it.

    The thread that needs a connection opens it itself. So nothing has to notice that a database is back: the first
    request after an outage connects to it. And whoever gives up waiting leaves nothing behind, however long the outage
    and however many the requests (psycopg_pool keeps their places in its queue until somebody gets a connection).
    """

    def __init__(self, conninfo: str, *, size: int, application: str) -> None:
        self._conninfo = conninfo
        self._application = application
        self._free = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._is_closed = False

    @contextmanager
    def connection(self, *, timeout: float) -> Iterator[BudgetedConnection]:
        """A connection that answered just now, in autocommit and without a deadline.

        Waits `timeout` seconds at most for a free one. Opening a new one takes two more at most for each of the
        server's addresses. Raises psycopg.OperationalError.
        """
        deadline = time.monotonic() + timeout
        if not self._free.acquire(timeout=timeout):
            raise NoConnection
        try:
            connection = self._idle_one(deadline) or self._open_one()
            try:
                connection.deadline = None
                yield connection
            finally:
                self._give_back(connection)
        finally:
            self._free.release()

    def close(self) -> None:
        """Connections in use are closed when they are given back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _idle_one(self, deadline: float) -> _Connection | None:
        """The one that was used last and still answers. Raises NoConnection where the deadline passes first."""
        while True:
            with self._lock:
                if self._is_closed:
                    raise NoConnection
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return None
            try:
                connection.deadline = deadline
                connection.execute("")
            except psycopg.Error:
                connection.close()
                if time.monotonic() >= deadline:
                    raise NoConnection from None
            else:
                return connection

    def _open_one(self) -> _Connection:
        connection = _Connection.connect(
            self._conninfo,
            autocommit=True,
            # Prepared statements would not outlive a transaction pooler's.
            prepare_threshold=None,
            application_name=self._application,
            connect_timeout=_SECONDS_TO_CONNECT,
        )
        connection.opened_at = time.monotonic()
        return connection

    def _give_back(self, connection: _Connection) -> None:
        is_clean = connection.info.transaction_status == TransactionStatus.IDLE
        is_old = time.monotonic() - connection.opened_at > _SECONDS_OF_LIFE
        with self._lock:
            if is_clean and not is_old and not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()
