"""The tracker that a checkout holds: it answers within its budget whatever the database does, and loses nothing."""

import logging
import select
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, LiteralString, Self, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from ingest.checkout import Checkout, Visit
from ingest.database import Connection, conninfo
from ingest.errors import RegularsError, UnknownOrder, UnknownShop
from ingest.replay import Answer, replay, write
from ingest.settings import Settings
from ingest.spool import SPOOL, Kind, Spool, SpoolRefused

log = logging.getLogger("regulars.ingest")

Event = TypeVar("Event", Checkout, Visit)

Observer = Callable[[Kind, Answer, float], None]
"""Is told each event's kind, its answer, and the seconds it took."""

_PROBE_SECONDS = 1.0
_PATIENCE_SECONDS = 5.0
_KNOWN_DOWN = "the database was down a moment ago"

# What the database, the network or the disk may do.
_ENVIRONMENT = (psycopg.Error, PoolTimeout, PoolClosed, TooManyRequests, RegularsError, OSError)

# A commit waits only where its transaction wrote something, which a message to nobody does.
_WAIT_FOR_THE_DISK = "reset synchronous_commit; select pg_logical_emit_message(true, 'regulars', '')"

# A batch is nobody's checkout: it may take as long as so many of them.
_BUDGETS_OF_A_BATCH = 10


# What the server does for a caller that has gone is ended by the server.
_SESSION = (
    "-c statement_timeout=2000 -c idle_in_transaction_session_timeout=5000 -c client_connection_check_interval=1000"
)


class TookTooLong(psycopg.OperationalError):
    """The budget was used up."""


class BudgetedConnection(psycopg.Connection[tuple[Any, ...]]):
    """Waits for the server until `deadline` (of time.monotonic) and not a moment longer; where there is none, for
    each answer as many seconds as its `patience`."""

    deadline: float | None = None
    patience: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        deadline = self.deadline
        if deadline is None and self.patience is not None:
            deadline = time.monotonic() + self.patience
        if deadline is None:
            return super().wait(gen, interval, timeout)
        left = deadline - time.monotonic()
        try:
            return super().wait(gen, min(interval, max(left, 0.001)), max(left, 0.001))
        except psycopg.Error:
            if time.monotonic() >= deadline:
                # What the server still does with it may yet be committed: told again, it counts once.
                self.pgconn.finish()
                raise TookTooLong from None
            raise


def _is_answer(error: Exception) -> bool:
    """Whether the database is there and has refused this one event: others need not wait for it to come back."""
    state = getattr(error, "sqlstate", None) or "08"
    # Connections, resources, and a server that is going down or coming up.
    return state[:2] not in ("08", "53", "57", "58")


def _check(connection: BudgetedConnection) -> None:
    """Whether the server has hung up, told by the socket alone: a checkout doesn't pay for a round trip."""
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    if poll.poll(0):
        connection.pgconn.consume_input()
        if connection.pgconn.status != psycopg.pq.ConnStatus.OK:
            raise psycopg.OperationalError("the server has hung up")


class Tracker:
    """Tracks checkouts and visits for one process; one for all its threads.

    It never raises on anything that the database, the network or the disk does, and answers within
    `settings.track_budget_ms`. Use it as a context manager, or `close()` it. Only making one can raise: SettingError,
    and without a DATABASE_URL, where it starts the embedded server, DatabaseError.
    """

    def __init__(self, settings: Settings | None = None, *, observer: Observer | None = None) -> None:
        self._settings = settings or Settings.from_environment()
        self._conninfo = conninfo(self._settings)
        self._budget = self._settings.track_budget_ms / 1000
        self.spool = Spool(self._settings.home / SPOOL)
        try:
            self.spool.prepare()
        except SpoolRefused as error:
            log.error("nothing can be spooled: %s", error)
        self._lock = threading.Lock()
        self._pool: ConnectionPool[BudgetedConnection] | None = None
        self._is_down = False
        self._replayer: threading.Thread | None = None
        self._closed = threading.Event()
        self._observer = observer
        # Batches leave connections to the buyers who wait.
        self._batches = threading.BoundedSemaphore(max(1, self._settings.track_connections // 2))

    def track(self, checkout: Checkout) -> Answer:
        """Links the order to its customer, or keeps the checkout until that can be done."""
        return self._carry_out("checkout", checkout)

    def visit(self, visit: Visit) -> Answer:
        """Notes that a link was opened; `tracking_id` is what the checkout gives as its visit_id, in any case."""
        return self._carry_out("visit", visit)

    def track_many(self, checkouts: Sequence[Checkout]) -> list[Answer]:
        """`track` for each, in their order, on one connection; the answers come in the same order.

        Each is held to the budget, and all together to ten times the budget: what is not written by then is spooled.
        """
        return self._carry_out_many("checkout", checkouts)

    def visit_many(self, visits: Sequence[Visit]) -> list[Answer]:
        """`visit` for each, as `track_many` does it."""
        return self._carry_out_many("visit", visits)

    def track_within(self, connection: Connection, checkout: Checkout) -> Answer:
        """`track` inside the caller's own transaction, in a savepoint: whatever fails here, that transaction goes on.

        It is linked if and when the caller commits. What fails is spooled. The connection is the caller's, and so are
        its time-outs: of the budget only the 150 ms for locks hold here.
        """
        began = time.monotonic()
        try:
            with connection.transaction():
                answer = write(connection, checkout)
        except (UnknownShop, UnknownOrder, psycopg.Error) as error:
            answer = self._keep("checkout", checkout, type(error).__name__)
        return self._observed("checkout", answer, time.monotonic() - began)

    async def track_async(self, checkout: Checkout) -> Answer:
        """`track`, for a caller that may not block its event loop."""
        return await _in_thread(self.track, checkout)

    async def visit_async(self, visit: Visit) -> Answer:
        """`visit`, for a caller that may not block its event loop."""
        return await _in_thread(self.visit, visit)

    def close(self) -> None:
        """Ends the background thread and the connections; what is spooled stays for the next process."""
        self._closed.set()
        if self._replayer is not None:
            self._replayer.join(5)
        if self._pool is not None:
            self._pool.close(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _carry_out(self, kind: Kind, event: Checkout | Visit) -> Answer:
        began = time.monotonic()
        reason = _KNOWN_DOWN
        # While it is down nobody waits for it, and what comes now stays behind what came before.
        if not self._is_down:
            try:
                answer = self._write_one(event, began + self._budget)
                return self._observed(kind, answer, time.monotonic() - began)
            except (UnknownShop, UnknownOrder) as error:
                # The order's own transaction may not have been committed yet.
                reason = type(error).__name__
            except _ENVIRONMENT as error:
                reason = type(error).__name__
                self._is_down = not _is_answer(error)
        answer = self._keep(kind, event, reason)
        return self._observed(kind, answer, time.monotonic() - began)

    def _carry_out_many(self, kind: Kind, events: Sequence[Checkout | Visit]) -> list[Answer]:
        began = time.monotonic()
        time_of_all = self._budget * _BUDGETS_OF_A_BATCH
        reason = _KNOWN_DOWN
        written: list[Answer | str] = []
        if not self._is_down:
            reason = "the batch took too long"
            if self._batches.acquire(timeout=time_of_all):
                try:
                    written = self._write_many(events, began + time_of_all)
                except _ENVIRONMENT as error:
                    # Also of what was answered already nobody knows whether it is on the server's disk.
                    reason = type(error).__name__
                    self._is_down = not _is_answer(error)
                finally:
                    self._batches.release()
        written += [reason] * (len(events) - len(written))
        answers = self._keep_unwritten(kind, events, written)
        each = (time.monotonic() - began) / max(len(events), 1)
        return [self._observed(kind, answer, each) for answer in answers]

    def _write_one(self, event: Checkout | Visit, deadline: float) -> Answer:
        connection = self._borrow(deadline)
        try:
            return self._write(connection, event, deadline)
        finally:
            self._open_pool().putconn(connection)

    def _write_many(self, events: Sequence[Checkout | Visit], deadline: float) -> list[Answer | str]:
        """Each event's answer, or why it has to wait; only those that there was time for."""
        connection = self._borrow(time.monotonic() + self._budget)
        written: list[Answer | str] = []
        try:
            # Each event is a transaction of its own, but only the last waits for the server's disk, for all of them.
            self._execute(connection, "set synchronous_commit = off")
            for event in events:
                now = time.monotonic()
                if now >= deadline:
                    break
                try:
                    written.append(self._write(connection, event, now + self._budget))
                except (UnknownShop, UnknownOrder) as error:
                    written.append(type(error).__name__)
            self._execute(connection, _WAIT_FOR_THE_DISK)
        except BaseException:
            # It may still be set not to wait for the disk.
            connection.close()
            raise
        finally:
            self._open_pool().putconn(connection)
        return written

    def _execute(self, connection: BudgetedConnection, statement: LiteralString) -> None:
        connection.deadline = time.monotonic() + self._budget
        connection.execute(statement)
        connection.deadline = None

    def _borrow(self, deadline: float) -> BudgetedConnection:
        return self._open_pool().getconn(timeout=max(deadline - time.monotonic(), 0.001))

    def _write(self, connection: BudgetedConnection, event: Checkout | Visit, deadline: float) -> Answer:
        try:
            connection.deadline = deadline
            return write(connection, event)
        finally:
            connection.deadline = None

    def _observed(self, kind: Kind, answer: Answer, seconds: float) -> Answer:
        if self._observer is not None:
            try:
                self._observer(kind, answer, seconds)
            except Exception as error:  # noqa: BLE001  # whoever counts must not cost a checkout
                log.error("the observer failed: %s", type(error).__name__)
        return answer

    def _keep(self, kind: Kind, event: Checkout | Visit, reason: str) -> Answer:
        (answer,) = self._keep_unwritten(kind, [event], [reason])
        return answer

    def _keep_unwritten(
        self, kind: Kind, events: Sequence[Checkout | Visit], written: Sequence[Answer | str]
    ) -> list[Answer]:
        """The answers; in place of a reason why an event was not written, what became of it: the disk is waited for
        once for all of them."""
        unwritten = [event for event, answer in zip(events, written, strict=True) if isinstance(answer, str)]
        kept, refusal = 0, f"{self.spool.path} holds as many events as it may"
        if unwritten:
            # The time is that of the event, not that of its replay.
            now = datetime.now(UTC)
            try:
                kept = self.spool.add_many(
                    kind,
                    [
                        event.model_copy(update={"accessed_at": event.accessed_at or now}).model_dump_json(
                            exclude_none=True
                        )
                        for event in unwritten
                    ],
                )
            except SpoolRefused as error:
                refusal = str(error)
        answers: list[Answer] = []
        for event, answer in zip(events, written, strict=True):
            if not isinstance(answer, str):
                answers.append(answer)
                continue
            tracking_id = event.visit_id if isinstance(event, Visit) else None
            if kept > 0:
                kept -= 1
                # An outage is told once, by the event that met it first; the others follow at the debug level.
                level = logging.DEBUG if answer == _KNOWN_DOWN else logging.WARNING
                log.log(level, "a %s was spooled: %s", kind, answer)
                answers.append(Answer("spooled", tracking_id=tracking_id, reason=answer))
            else:
                log.error("an event was refused: %s; before that: %s", refusal, answer)
                answers.append(Answer("refused", tracking_id=tracking_id, reason=refusal))
        if unwritten:
            self._start_replayer()
        return answers

    def _open_pool(self) -> "ConnectionPool[BudgetedConnection]":
        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._conninfo,
                    connection_class=BudgetedConnection,
                    kwargs={"autocommit": True, "application_name": "regulars-ingest", "options": _SESSION},
                    min_size=1,
                    max_size=self._settings.track_connections,
                    max_waiting=100,
                    check=_check,
                    num_workers=1,
                    reconnect_timeout=30,
                    open=True,
                )
            return self._pool

    def _start_replayer(self) -> None:
        with self._lock:
            if self._replayer is None or not self._replayer.is_alive():
                self._replayer = threading.Thread(target=self._replay_until_empty, name="regulars-replay", daemon=True)
                self._replayer.start()

    def _replay_until_empty(self) -> None:
        wait = _PROBE_SECONDS
        while not self._closed.wait(wait):
            try:
                with BudgetedConnection.connect(
                    self._conninfo, autocommit=True, connect_timeout=5, options=_SESSION
                ) as connection:
                    connection.patience = _PATIENCE_SECONDS
                    replayed = replay(connection, self.spool)
            except SpoolRefused as error:
                # The database is there: what is told from now on needs no disk.
                log.error("the spool waits: %s", error)
                self._is_down = False
                continue
            except (psycopg.Error, RegularsError, OSError) as error:
                log.info("the spool waits: %s", type(error).__name__)
                continue
            self._is_down = False
            if replayed.left == 0:
                return
            # What is left is of orders that don't exist so far: there is less and less hurry.
            wait = min(wait * 2, 60)


async def _in_thread(call: Callable[[Event], Answer], event: Event) -> Answer:
    # Imported here: a caller without an event loop should not pay for it.
    import asyncio

    return await asyncio.to_thread(call, event)
