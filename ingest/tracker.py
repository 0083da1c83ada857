"""The tracker for a checkout's process: it answers within its budget whatever the database does, and loses nothing."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

import psycopg

from ingest.answer import Answer
from ingest.checkout import Checkout, Visit
from ingest.spool.file import SPOOL, Kind, Spool, SpoolRefused
from ingest.spool.outage import Outage, is_outage
from ingest.spool.replay_thread import ReplayThread
from ingest.spool.writer_thread import WriterThread
from ingest.storage.budget import SESSION
from ingest.storage.connections import Connection, conninfo
from ingest.storage.errors import RegularsError, UnknownOrder, UnknownShop
from ingest.storage.group_commit import group_commit
from ingest.storage.pool import Pool
from ingest.storage.settings import Settings
from ingest.tracking import write

log = logging.getLogger("regulars.ingest")

Event = TypeVar("Event", Checkout, Visit)

Observer = Callable[[Kind, Answer, float], None]
"""Called with each event's kind, its answer, and the seconds it took."""

_KNOWN_DOWN = "the database was down a moment ago"

# The errors that the database, the network or the disk may cause.
_ENVIRONMENT = (psycopg.Error, RegularsError, OSError)

# The database's share of the budget; the rest is for the spool.
_SHARE_OF_THE_DATABASE = 0.8

# Late is better than lost: if the rest of the budget is too short for the disk, it gets one more budget.
_BUDGETS_UNTIL_REFUSED = 2

# Nobody waits at a checkout for a batch, so it may take longer.
_BUDGETS_OF_A_BATCH = 10

_SECONDS_TO_CONNECT = 5


class Tracker:
    """Tracks checkouts and visits. One serves all threads of a process; a forked child may go on using it.

    Whatever the database, the network or the disk does, it raises nothing and answers within
    `settings.track_budget_ms`. Only if the disk is slow as well does it take up to twice that, and then refuses the
    event. Use it as a context manager, or `close()` it. Only the constructor can raise: SettingError, and DatabaseError
    if no DATABASE_URL is set and the embedded server doesn't start.
    """

    def __init__(self, settings: Settings | None = None, *, observer: Observer | None = None) -> None:
        self._settings = settings or Settings.from_environment()
        self._conninfo = conninfo(self._settings)
        self._budget = self._settings.track_budget_ms / 1000
        self._observer = observer
        self.spool = Spool(self._settings.home / SPOOL)
        self._assemble()
        try:
            self.spool.prepare()
            if self.spool.next_due() is not None:
                # Events of a process that has ended.
                self._replayer.wake()
        except SpoolRefused as error:
            log.error("nothing can be spooled: %s", error)
        _trackers.add(self)

    def _assemble(self) -> None:
        """Makes everything that has threads, locks or connections: a forked child needs its own."""
        self._pool = Pool(
            self._conninfo,
            size=self._settings.track_connections,
            application="regulars-ingest",
            options=SESSION,
            seconds_to_connect=_SECONDS_TO_CONNECT,
        )
        # Batches leave connections for the buyers who are waiting.
        self._batches = threading.BoundedSemaphore(max(1, self._settings.track_connections // 2))
        self._writer = WriterThread(self.spool)
        self._outage = Outage(self._conninfo, at_begin=self._pool.close, at_end=self._come_back)
        self._replayer = ReplayThread(self._conninfo, self.spool, self._outage)

    def assemble_in_child(self) -> None:
        """For a forked child, which has none of its parent's threads."""
        self._pool.leave_to_parent()
        self._assemble()

    def track(self, checkout: Checkout) -> Answer:
        """Matches the order with its customer, or spools the checkout until that can be done."""
        return self._process("checkout", checkout)

    def visit(self, visit: Visit) -> Answer:
        """Records that a link was opened. The answer's `visit_id` goes into the checkout, whatever the outcome."""
        return self._process("visit", visit)

    def track_many(self, checkouts: Sequence[Checkout]) -> list[Answer]:
        """`track` for each, in order, on one connection; returns the answers in the same order.

        Each may take one budget, and all together ten budgets: what is not written by then is spooled.
        """
        return self._process_many("checkout", checkouts)

    def visit_many(self, visits: Sequence[Visit]) -> list[Answer]:
        """`visit` for each, in the same way as `track_many`."""
        return self._process_many("visit", visits)

    def track_within(self, connection: Connection, checkout: Checkout) -> Answer:
        """`track` inside the caller's own transaction, in a savepoint: if it fails, that transaction goes on.

        The match takes effect when the caller commits. A checkout that fails is spooled. The connection and its
        time-outs are the caller's: the budget doesn't apply, except that locks are waited for 150 ms at most.
        """
        began = time.monotonic()
        try:
            with connection.transaction():
                answer = write(connection, checkout)
        except _ENVIRONMENT as error:
            answer = self._spool_one("checkout", checkout, type(error).__name__, began=time.monotonic())
        return self._observed("checkout", answer, time.monotonic() - began)

    async def track_async(self, checkout: Checkout) -> Answer:
        """`track`, without blocking the caller's event loop."""
        return await _in_thread(self.track, checkout)

    async def visit_async(self, visit: Visit) -> Answer:
        """`visit`, without blocking the caller's event loop."""
        return await _in_thread(self.visit, visit)

    def close(self) -> None:
        """Ends the threads and closes the connections. Spooled events stay for the next process."""
        self._outage.close()
        self._replayer.close()
        self._writer.close()
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _come_back(self) -> None:
        self._pool.reopen()
        self._replayer.wake()

    def _process(self, kind: Kind, event: Checkout | Visit) -> Answer:
        began = time.monotonic()
        reason = _KNOWN_DOWN
        if not self._outage.is_on:
            try:
                until = began + self._budget * _SHARE_OF_THE_DATABASE
                with self._pool.connection(timeout=until - time.monotonic()) as connection:
                    connection.deadline = until
                    answer = write(connection, event)
                return self._observed(kind, answer, time.monotonic() - began)
            except _ENVIRONMENT as error:
                # UnknownOrder too: the storefront's transaction may not have been committed yet.
                reason = self._reason(error)
        answer = self._spool_one(kind, event, reason, began=began)
        return self._observed(kind, answer, time.monotonic() - began)

    def _process_many(self, kind: Kind, events: Sequence[Checkout | Visit]) -> list[Answer]:
        began = time.monotonic()
        time_for_all = self._budget * _BUDGETS_OF_A_BATCH
        reason = _KNOWN_DOWN
        written: list[Answer | str] = []
        if not self._outage.is_on:
            reason = "the batch took too long"
            if self._batches.acquire(timeout=time_for_all):
                try:
                    written = self._write_many(events, began + time_for_all)
                except _ENVIRONMENT as error:
                    # It isn't known either whether the events written so far are on the server's disk.
                    reason = self._reason(error)
                finally:
                    self._batches.release()
        written += [reason] * (len(events) - len(written))
        answers = self._spool_unwritten(kind, events, written, began=time.monotonic())
        each = (time.monotonic() - began) / max(len(events), 1)
        return [self._observed(kind, answer, each) for answer in answers]

    def _write_many(self, events: Sequence[Checkout | Visit], deadline: float) -> list[Answer | str]:
        """The answer to each event, or the reason why it was not written; shorter than `events` if time ran out."""
        written: list[Answer | str] = []
        until = time.monotonic() + self._budget
        with self._pool.connection(timeout=self._budget) as connection:
            connection.deadline = until
            with group_commit(connection):
                for event in events:
                    now = time.monotonic()
                    if now >= deadline:
                        break
                    connection.deadline = now + self._budget
                    try:
                        written.append(write(connection, event))
                    except (UnknownShop, UnknownOrder) as error:
                        written.append(type(error).__name__)
                connection.deadline = time.monotonic() + self._budget
        return written

    def _reason(self, error: Exception) -> str:
        """Why an event was not written. If the database is down, begins an outage."""
        reason = type(error).__name__
        if is_outage(error):
            self._outage.begin(reason)
        return reason

    def _observed(self, kind: Kind, answer: Answer, seconds: float) -> Answer:
        if self._observer is not None:
            try:
                self._observer(kind, answer, seconds)
            except Exception as error:  # noqa: BLE001  # a broken observer must not cost a checkout
                log.error("the observer failed: %s", type(error).__name__)
        return answer

    def _spool_one(self, kind: Kind, event: Checkout | Visit, reason: str, *, began: float) -> Answer:
        (answer,) = self._spool_unwritten(kind, [event], [reason], began=began)
        return answer

    def _spool_unwritten(
        self, kind: Kind, events: Sequence[Checkout | Visit], written: Sequence[Answer | str], *, began: float
    ) -> list[Answer]:
        """Spools the events for which `written` holds a reason instead of an answer; returns all answers."""
        unwritten = [event for event, answer in zip(events, written, strict=True) if isinstance(answer, str)]
        spooled, refusal = 0, self.spool.full_message
        if unwritten:
            try:
                spooled = self._writer.add(
                    kind, _with_time(unwritten), deadline=began + self._budget * _BUDGETS_UNTIL_REFUSED
                )
            except SpoolRefused as error:
                refusal = str(error)
        answers: list[Answer] = []
        for event, answer in zip(events, written, strict=True):
            if not isinstance(answer, str):
                answers.append(answer)
                continue
            visit_id = event.visit_id if isinstance(event, Visit) else None
            if spooled > 0:
                spooled -= 1
                # An outage is logged once, for the event that met it first; the others are logged at debug level.
                level = logging.DEBUG if answer == _KNOWN_DOWN else logging.WARNING
                log.log(level, "a %s was spooled: %s", kind, answer)
                answers.append(Answer("spooled", visit_id=visit_id, reason=answer))
            else:
                log.error("an event was refused: %s; before that: %s", refusal, answer)
                answers.append(Answer("refused", visit_id=visit_id, reason=refusal))
        if unwritten:
            self._replayer.wake()
        return answers


def _with_time(events: Sequence[Checkout | Visit]) -> list[str]:
    """The events as JSON, each with its time: the time of its replay would be wrong."""
    now = datetime.now(UTC)
    return [
        event.model_copy(update={"accessed_at": event.accessed_at or now}).model_dump_json(exclude_none=True)
        for event in events
    ]


async def _in_thread(call: Callable[[Event], Answer], event: Event) -> Answer:
    # Imported here, because a caller without an event loop should not pay for it.
    import asyncio

    return await asyncio.to_thread(call, event)


_trackers: weakref.WeakSet[Tracker] = weakref.WeakSet()


def _assemble_in_child() -> None:
    for tracker in _trackers:
        tracker.assemble_in_child()


os.register_at_fork(after_in_child=_assemble_in_child)
