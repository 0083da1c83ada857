"""The only thread of a process that adds to its spool: what many callers bring is written in groups."""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from ingest.spool.background import start_thread
from ingest.spool.file import Batch, Kind, Spool, SpoolRefused

log = logging.getLogger("regulars.ingest")

_MOST_EVENTS = 1000  # of a group, so that no group keeps other processes waiting for long
_SECONDS_IDLE = 2.0  # before the thread ends


@dataclass(eq=False, slots=True)
class _Request:
    """Events of one caller, and how many of the first are on the disk, when that is known."""

    batch: Batch
    kept: Future[int] = field(default_factory=Future)


class SpoolWriter:
    """For all threads of a process. Nothing is answered before it is on the disk; the disk is waited for once a group,
    and so is the lock that other processes' writers want too."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._requests: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, kind: Kind, events: Sequence[str], *, deadline: float) -> int:
        """Keeps events in their order; answers how many of the first: less than all where the spool is full.

        Raises SpoolRefused where they are not on the disk at `deadline` (of time.monotonic); the message says whether
        they may still get there.
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
        return self._kept(request, deadline)

    def close(self) -> None:
        """Writes what callers still wait for, and ends the thread; who adds after that starts another."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(5)

    def _kept(self, request: _Request, deadline: float) -> int:
        try:
            return request.kept.result(max(deadline - time.monotonic(), 0))
        except TimeoutError:
            if request.kept.cancel():
                raise SpoolRefused(f"{self._spool.path} was not written in time; it was not kept") from None
            if request.kept.done():
                return request.kept.result()
            raise SpoolRefused(f"{self._spool.path} was not written in time; it may yet be kept") from None

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
            kept = self._spool.add_batches(take)
        except Exception as error:  # noqa: BLE001  # callers wait for an answer whatever happens here
            refusal = error if isinstance(error, SpoolRefused) else SpoolRefused(f"{type(error).__name__}")
            for request in group or self._take():
                request.kept.set_exception(refusal)
        else:
            for request, number in zip(group, kept, strict=True):
                request.kept.set_result(number)

    def _take(self) -> list[_Request]:
        """The oldest requests whose callers still wait."""
        taken: list[_Request] = []
        events = 0
        with self._changed:
            while self._requests and (not taken or events + len(self._requests[0].batch[1]) <= _MOST_EVENTS):
                request = self._requests.popleft()
                if request.kept.set_running_or_notify_cancel():
                    taken.append(request)
                    events += len(request.batch[1])
        return taken
