"""A few connections for many threads: opened when they are needed, checked before use, waited for with a time-out."""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from ingest.storage.budget import BudgetedConnection
from ingest.storage.threads import start_thread

# Sessions grow with what they have read, and a login's rights and passwords change.
_SECONDS_OF_LIFE = 3600.0

# How long a connection stays open that only a burst of callers needed.
_SECONDS_IDLE = 600.0

# Never closed: a parent process's connections are not its child's to close.
_inherited: list[BudgetedConnection] = []


class NoneFree(psycopg.OperationalError):
    """Other callers have all the connections, or the pool is closed. This says nothing about the database."""


class NotConnected(psycopg.OperationalError):
    """The database let nobody in before the time was up."""


class _Connection(BudgetedConnection):
    opened_at = 0.0
    returned_at = 0.0


class Pool:
    """At most `size` connections, for all threads of a process. `close()` it.

    Connections are opened in background threads: a caller gives up in time even if connecting takes longer, and the
    connection is there for the next one. Nothing retries, so nothing has to notice that a database is back: the first
    caller after an outage connects. A caller that gives up leaves nothing behind, however long the outage and however
    many callers. (psycopg_pool keeps such callers in its queue until somebody gets a connection; with a bounded queue
    it then refuses everybody.)
    """

    def __init__(
        self,
        conninfo: str,
        *,
        size: int,
        application: str,
        options: str | None = None,
        prepare_threshold: int | None = 5,
        seconds_to_connect: int = 2,
        asks_first: bool = False,
    ) -> None:
        """`prepare_threshold` and `options` are those of psycopg.connect. With `asks_first` a connection is checked by
        a round trip before it is lent, which finds out about a silent network; otherwise by its socket alone, which
        costs nothing and finds out about a server that has closed it."""
        self._conninfo = make_conninfo(
            conninfo, application_name=application, connect_timeout=seconds_to_connect, options=options
        )
        self._size = size
        self._prepare_threshold = prepare_threshold
        self._asks_first = asks_first
        self._permits = threading.BoundedSemaphore(size)
        self._changed = threading.Condition()
        self._idle: list[_Connection] = []
        self._lent = 0
        self._connecting = 0
        self._attempts = 0
        self._last_failed_attempt = 0
        self._last_failure: psycopg.Error | OSError | None = None
        self._is_closed = False

    @contextmanager
    def connection(self, *, timeout: float) -> Iterator[BudgetedConnection]:
        """A connection in autocommit, without a deadline; it is waited for `timeout` seconds at most.

        Raises NoneFree or NotConnected.
        """
        until = time.monotonic() + timeout
        if not self._permits.acquire(timeout=max(timeout, 0.001)):
            raise NoneFree(f"all {self._size} connections are in use")
        try:
            connection = self._borrow(until)
            try:
                yield connection
            finally:
                self._give_back(connection)
        finally:
            self._permits.release()

    def close(self) -> None:
        """Closes idle connections now and the others when they are given back; lends nothing until `reopen`."""
        with self._changed:
            self._is_closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for connection in idle:
            connection.close()

    def reopen(self) -> None:
        """Undoes `close`: the next caller connects anew."""
        with self._changed:
            self._is_closed = False

    def leave_to_parent(self) -> None:
        """For a forked child, which may neither use nor close its parent's connections."""
        _inherited.extend(self._idle)

    def _borrow(self, until: float) -> _Connection:
        while True:
            connection = self._take(until)
            if self._answers(connection, until):
                connection.deadline = None
                return connection
            # All may have been ended at once: the next one is tried without a pause.
            self._give_back(connection)

    def _take(self, until: float) -> _Connection:
        """An idle connection; if there is none, has one opened and waits for it.

        An attempt that began before this caller came says nothing about the database of now: it may have hung since an
        outage that is over.
        """
        with self._changed:
            attempts_before = self._attempts
            while True:
                if self._is_closed:
                    raise NoneFree("the connections have been closed")
                if self._idle:
                    self._lent += 1
                    return self._idle.pop()
                if self._last_failed_attempt > attempts_before and self._last_failure is not None:
                    raise NotConnected(type(self._last_failure).__name__) from self._last_failure
                if self._lent + self._connecting < self._size:
                    if start_thread(partial(self._connect, self._attempts + 1), name="connect") is None:
                        raise NoneFree("the interpreter is shutting down")
                    self._attempts += 1
                    self._connecting += 1
                if not self._changed.wait(max(until - time.monotonic(), 0)):
                    raise NotConnected("the database did not answer in time")

    def _connect(self, attempt: int) -> None:
        connection: _Connection | None = None
        failure: psycopg.Error | OSError | None = None
        try:
            connection = _Connection.connect(self._conninfo, autocommit=True, prepare_threshold=self._prepare_threshold)
            connection.opened_at = connection.returned_at = time.monotonic()
        except (psycopg.Error, OSError) as error:
            failure = error
        with self._changed:
            self._connecting -= 1
            if connection is not None and not self._is_closed:
                self._idle.append(connection)
                connection = None
            elif failure is not None and attempt > self._last_failed_attempt:
                self._last_failed_attempt = attempt
                self._last_failure = failure
            self._changed.notify_all()
        if connection is not None:
            connection.close()

    def _answers(self, connection: _Connection, until: float) -> bool:
        if _has_hung_up(connection):
            connection.close()
        elif self._asks_first:
            try:
                connection.deadline = until
                connection.execute("")
            except psycopg.Error:
                connection.close()
        return not connection.closed

    def _give_back(self, connection: _Connection) -> None:
        now = time.monotonic()
        is_clean = connection.info.transaction_status == TransactionStatus.IDLE
        is_old = now - connection.opened_at > _SECONDS_OF_LIFE
        to_close: list[_Connection] = []
        with self._changed:
            self._lent -= 1
            if is_clean and not is_old and not self._is_closed:
                connection.deadline = None
                connection.returned_at = now
                self._idle.append(connection)
            else:
                to_close.append(connection)
            # The one that was returned last is lent first, so those that nobody needs are at the front.
            while self._idle and now - self._idle[0].returned_at > _SECONDS_IDLE:
                to_close.append(self._idle.pop(0))
            self._changed.notify_all()
        for each in to_close:
            each.close()


def _has_hung_up(connection: BudgetedConnection) -> bool:
    """Whether the server has closed the connection, by its socket alone: a checkout doesn't pay for a round trip.

    An idle session hears from its server nearly only when that ends it. If it was something else, a new connection
    costs little.
    """
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
