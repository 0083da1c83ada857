"""The tracker that a checkout holds: it answers within its budget whatever the database does, and loses nothing."""

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
from ingest.spool.replayer import Replayer
from ingest.spool.writer import SpoolWriter
from ingest.storage.connections import Connection, conninfo
from ingest.storage.errors import RegularsError, UnknownOrder, UnknownShop
from ingest.storage.group_commit import group_commit
from ingest.storage.pool import Pool
from ingest.storage.settings import Settings
from ingest.tracking import write

log = logging.getLogger("regulars.ingest")

Event = TypeVar("Event", Checkout, Visit)

Observer = Callable[[Kind, Answer, float], None]
"""Is told each event's kind, its answer, and the seconds it took."""

_KNOWN_DOWN = "the database was down a moment ago"

# What the database, the network or the disk may do.
_ENVIRONMENT = (psycopg.Error, RegularsError, OSError)

# The database's share of the budget; the rest is the spool's.
_SHARE_OF_THE_DATABASE = 0.8

# Late is better than lost: a disk that is slower than the rest of the budget is waited for up to one more.
_BUDGETS_UNTIL_REFUSED = 2

# A batch is nobody's checkout: it may take as long as so many of them.
_BUDGETS_OF_A_BATCH = 10


class Tracker:
    """Tracks checkouts and visits for one process; one for all its threads. A forked child may go on using it.

    It never raises on anything that the database, the network or the disk does, and answers within
    `settings.track_budget_ms`. Only where the disk is slow too it takes longer: twice that, and refuses then. Use it as
    a context manager, or `close()` it. Only making one can raise: SettingError, and without a DATABASE_URL, where it
    starts the embedded server, DatabaseError.
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
                # Of a process that has ended.
                self._replayer.wake()
        except SpoolRefused as error:
            log.error("nothing can be spooled: %s", error)
        _trackers.add(self)

    def _assemble(self) -> None:
        """Everything that has threads, locks or connections: a forked child needs its own."""
        self._pool = Pool(self._conninfo, most=self._settings.track_connections)
        # Batches leave connections to the buyers who wait.
        self._batches = threading.BoundedSemaphore(max(1, self._settings.track_connections // 2))
        self._writer = SpoolWriter(self.spool)
        self._outage = Outage(self._conninfo, at_begin=self._pool.close, at_end=self._come_back)
        self._replayer = Replayer(self._conninfo, self.spool, self._outage)

    def assemble_in_child(self) -> None:
        """Called in a forked child, which has none of its parent's threads."""
        self._pool.leave_to_parent()
        self._assemble()

    def track(self, checkout: Checkout) -> Answer:
        """Links the order to its customer, or keeps the checkout until that can be done."""
        return self._carry_out("checkout", checkout)

    def visit(self, visit: Visit) -> Answer:
        """Notes that a link was opened; `visit_id` is what the checkout gives as its visit_id, in any case."""
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

        The order gets its customer when the caller commits. What fails is spooled. The connection is the caller's, and
        so are its time-outs: of the budget only the 150 ms for locks hold here.
        """
        began = time.monotonic()
        try:
            with connection.transaction():
                answer = write(connection, checkout)
        except (UnknownShop, UnknownOrder, psycopg.Error) as error:
            answer = self._keep("checkout", checkout, type(error).__name__, began=time.monotonic())
        return self._observed("checkout", answer, time.monotonic() - began)

    async def track_async(self, checkout: Checkout) -> Answer:
        """`track`, for a caller that may not block its event loop."""
        return await _in_thread(self.track, checkout)

    async def visit_async(self, visit: Visit) -> Answer:
        """`visit`, for a caller that may not block its event loop."""
        return await _in_thread(self.visit, visit)

    def close(self) -> None:
        """Ends the threads and the connections; what is spooled stays for the next process."""
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

    def _carry_out(self, kind: Kind, event: Checkout | Visit) -> Answer:
        began = time.monotonic()
        reason = _KNOWN_DOWN
        if not self._outage.is_on:
            try:
                with self._pool.connection(until=began + self._budget * _SHARE_OF_THE_DATABASE) as connection:
                    answer = write(connection, event)
                return self._observed(kind, answer, time.monotonic() - began)
            except _ENVIRONMENT as error:
                # Of an unknown order the transaction may not have been committed yet.
                reason = self._reason(error)
        answer = self._keep(kind, event, reason, began=began)
        return self._observed(kind, answer, time.monotonic() - began)

    def _carry_out_many(self, kind: Kind, events: Sequence[Checkout | Visit]) -> list[Answer]:
        began = time.monotonic()
        time_of_all = self._budget * _BUDGETS_OF_A_BATCH
        reason = _KNOWN_DOWN
        written: list[Answer | str] = []
        if not self._outage.is_on:
            reason = "the batch took too long"
            if self._batches.acquire(timeout=time_of_all):
                try:
                    written = self._write_many(events, began + time_of_all)
                except _ENVIRONMENT as error:
                    # Also of what was answered already nobody knows whether it is on the server's disk.
                    reason = self._reason(error)
                finally:
                    self._batches.release()
        written += [reason] * (len(events) - len(written))
        answers = self._keep_unwritten(kind, events, written, began=time.monotonic())
        each = (time.monotonic() - began) / max(len(events), 1)
        return [self._observed(kind, answer, each) for answer in answers]

    def _write_many(self, events: Sequence[Checkout | Visit], deadline: float) -> list[Answer | str]:
        """Each event's answer, or why it has to wait; only those that there was time for."""
        written: list[Answer | str] = []
        with self._pool.connection(until=time.monotonic() + self._budget) as connection, group_commit(connection):
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
        """Why an event was not written; where the database is gone, for everybody."""
        reason = type(error).__name__
        if is_outage(error):
            self._outage.begin(reason)
        return reason

    def _observed(self, kind: Kind, answer: Answer, seconds: float) -> Answer:
        if self._observer is not None:
            try:
                self._observer(kind, answer, seconds)
            except Exception as error:  # noqa: BLE001  # whoever counts must not cost a checkout
                log.error("the observer failed: %s", type(error).__name__)
        return answer

    def _keep(self, kind: Kind, event: Checkout | Visit, reason: str, *, began: float) -> Answer:
        (answer,) = self._keep_unwritten(kind, [event], [reason], began=began)
        return answer

    def _keep_unwritten(
        self, kind: Kind, events: Sequence[Checkout | Visit], written: Sequence[Answer | str], *, began: float
    ) -> list[Answer]:
        """The answers; in place of a reason why an event was not written, what became of it."""
        unwritten = [event for event, answer in zip(events, written, strict=True) if isinstance(answer, str)]
        kept, refusal = 0, self.spool.is_full
        if unwritten:
            try:
                kept = self._writer.add(
                    kind, _as_told_now(unwritten), deadline=began + self._budget * _BUDGETS_UNTIL_REFUSED
                )
            except SpoolRefused as error:
                refusal = str(error)
        answers: list[Answer] = []
        for event, answer in zip(events, written, strict=True):
            if not isinstance(answer, str):
                answers.append(answer)
                continue
            visit_id = event.visit_id if isinstance(event, Visit) else None
            if kept > 0:
                kept -= 1
                # An outage is told once, by the event that met it first; the others follow at the debug level.
                level = logging.DEBUG if answer == _KNOWN_DOWN else logging.WARNING
                log.log(level, "a %s was spooled: %s", kind, answer)
                answers.append(Answer("spooled", visit_id=visit_id, reason=answer))
            else:
                log.error("an event was refused: %s; before that: %s", refusal, answer)
                answers.append(Answer("refused", visit_id=visit_id, reason=refusal))
        if unwritten:
            self._replayer.wake()
        return answers


def _as_told_now(events: Sequence[Checkout | Visit]) -> list[str]:
    """Their JSON, with the time of the event, which is not that of its replay."""
    now = datetime.now(UTC)
    return [
        event.model_copy(update={"accessed_at": event.accessed_at or now}).model_dump_json(exclude_none=True)
        for event in events
    ]


async def _in_thread(call: Callable[[Event], Answer], event: Event) -> Answer:
    # Imported here: a caller without an event loop should not pay for it.
    import asyncio

    return await asyncio.to_thread(call, event)


_trackers: weakref.WeakSet[Tracker] = weakref.WeakSet()


def _assemble_in_child() -> None:
    for tracker in _trackers:
        tracker.assemble_in_child()


os.register_at_fork(after_in_child=_assemble_in_child)
