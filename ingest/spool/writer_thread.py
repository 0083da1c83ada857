"""The only thread of a process that adds to its spool: it writes the events of many callers in groups."""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from ingest.spool.file import Batch, Kind, Spool, SpoolRefused
from ingest.storage.threads import start_thread

log = logging.getLogger("regulars.ingest")

_MOST_EVENTS = 1000  # in a group, so that no group keeps other processes waiting for long
_SECONDS_IDLE = 2.0  # before the thread ends


@dataclass(eq=False, slots=True)
class _Request:
    """The events of one caller; later, how many of them are on the disk, counted from the first."""

    batch: Batch
    added: Future[int] = field(default_factory=Future)


class WriterThread:
    """Serves all threads of a process. A caller gets its answer when its events are on the disk. Both the disk and the
    lock that it shares with other processes' writers are waited for once per group."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._requests: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, kind: Kind, events: Sequence[str], *, deadline: float) -> int:
        """Adds events in order; returns how many were added, counted from the first: fewer if the spool is full.

        Raises SpoolRefused if they are not on the disk by `deadline` (of time.monotonic); the message says whether they
        may still get there.
        """
        request = _Request((kind, events))
        with self._changed:
            self._requests.append(request)
            if self._thread is None:
                self._thread = start_thread(self._write_until_idle, name="spool")
            can_write = self._thread is not None
            self._changed.notify()
        if not can_write:
            self._write_group()
        return self._wait(request, deadline)

    def close(self) -> None:
        """Writes what callers are still waiting for and ends the thread. A later `add` starts another."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(5)

    def _wait(self, request: _Request, deadline: float) -> int:
        try:
            return request.added.result(max(deadline - time.monotonic(), 0))
        except TimeoutError:
            if request.added.cancel():
                raise SpoolRefused(f"{self._spool.path} was not written in time; the event was not spooled") from None
            if request.added.done():
                return request.added.result()
            raise SpoolRefused(f"{self._spool.path} was not written in time; the event may yet be spooled") from None

    def _write_until_idle(self) -> None:
        while self._has_work():
            self._spool.keep_open()
            self._write_group()
        self._spool.let_close()

    def _has_work(self) -> bool:
        with self._changed:
            if not self._requests and not self._is_closed:
                self._changed.wait(_SECONDS_IDLE)
            if self._requests:
                return True
            self._thread = None
            return False

    def _write_group(self) -> None:
        group: list[_Request] = []

        def take() -> list[Batch]:
            group.extend(self._take())
            return [request.batch for request in group]

        try:
            added = self._spool.add_batches(take)
        except Exception as error:  # noqa: BLE001  # callers wait for an answer, whatever happens here
            refusal = error if isinstance(error, SpoolRefused) else SpoolRefused(f"{type(error).__name__}")
            for request in group or self._take():
                request.added.set_exception(refusal)
        else:
            for request, number in zip(group, added, strict=True):
                request.added.set_result(number)

    def _take(self) -> list[_Request]:
        """Takes the oldest requests whose callers are still waiting."""
        taken: list[_Request] = []
        events = 0
        with self._changed:
            while self._requests and (not taken or events + len(self._requests[0].batch[1]) <= _MOST_EVENTS):
                request = self._requests.popleft()
                if request.added.set_running_or_notify_cancel():
                    taken.append(request)
                    events += len(request.batch[1])
        return taken
