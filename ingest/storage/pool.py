"""The connections of a checkout's process: a few, lent to one caller each, for no longer than it may wait."""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg_pool import ConnectionPool, PoolClosed

from ingest.storage.budget import SESSION, BudgetedConnection
from ingest.storage.errors import RegularsError

_SECONDS_TO_CONNECT = 5
_CLOSED = "the connections have been closed"

# Kept for good: the connections of a parent process are not a child's to close.
_inherited: list[ConnectionPool[BudgetedConnection]] = []


class NoneFree(RegularsError):
    """There was no connection to be had before the budget was used up."""


class Pool:
    """Opens connections when they are first needed, `most` at a time.

    Callers wait for one of `most` permits here, and not in the queue of psycopg's pool, where those that have given up
    stay: it would be full after an outage, and refuse everybody.
    """

    def __init__(self, conninfo: str, *, most: int) -> None:
        self._conninfo = conninfo
        self._most = most
        self._permits = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._opened: ConnectionPool[BudgetedConnection] | None = None
        self._is_closed = False

    @contextmanager
    def connection(self, *, until: float) -> Iterator[BudgetedConnection]:
        """A connection with this deadline, of time.monotonic.

        Raises NoneFree where others have them all or the pool is closed, PoolTimeout where the database lets nobody
        in, and what the connection raises.
        """
        if not self._permits.acquire(timeout=max(until - time.monotonic(), 0.001)):
            raise NoneFree(f"all {self._most} connections are in use; raise REGULARS_TRACK_CONNECTIONS")
        try:
            pool = self._open()
            connection = _borrow(pool, until)
            try:
                connection.deadline = until
                yield connection
            finally:
                connection.deadline = None
                pool.putconn(connection)
        finally:
            self._permits.release()

    def close(self) -> None:
        """Closes what is idle now, and the rest as it comes back; lends nothing until `reopen`."""
        with self._lock:
            self._is_closed = True
            closed, self._opened = self._opened, None
        if closed is not None:
            closed.close(1)

    def reopen(self) -> None:
        """The next caller connects anew."""
        self._is_closed = False

    def leave_to_parent(self) -> None:
        """For a forked child, in which nobody may use, or close, what the parent has open."""
        if self._opened is not None:
            _inherited.append(self._opened)

    def _open(self) -> ConnectionPool[BudgetedConnection]:
        with self._lock:
            if self._is_closed:
                raise NoneFree(_CLOSED)
            if self._opened is None:
                self._opened = ConnectionPool(
                    self._conninfo,
                    connection_class=BudgetedConnection,
                    kwargs={
                        "autocommit": True,
                        "application_name": "regulars-ingest",
                        "connect_timeout": _SECONDS_TO_CONNECT,
                        "options": SESSION,
                    },
                    min_size=1,
                    max_size=self._most,
                    max_waiting=0,
                    num_workers=2,
                    # The next caller asks for a connection anew, instead of an ever rarer retry.
                    reconnect_timeout=2,
                    open=True,
                )
            return self._opened


def _borrow(pool: ConnectionPool[BudgetedConnection], until: float) -> BudgetedConnection:
    while True:
        try:
            connection = pool.getconn(timeout=max(until - time.monotonic(), 0.001))
        except PoolClosed:
            raise NoneFree(_CLOSED) from None
        if not _has_hung_up(connection):
            return connection
        # The pool replaces it. All may have been ended at once, so the others are tried without a pause.
        connection.close()
        pool.putconn(connection)


def _has_hung_up(connection: BudgetedConnection) -> bool:
    """Whether the server has, told by the socket alone: a checkout doesn't pay for a round trip.

    What it has to say to a session that is idle is nearly always its farewell; where it is not, a new connection
    costs little.
    """
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
