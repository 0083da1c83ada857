"""A gate that keeps forks and open SQLite files apart: the state of an open file must not reach a child."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MOST_SECONDS = 2.0  # that a fork waits: a hung disk must not keep a process from ever forking


class ForkGate:
    """A thread with an open file is behind the gate. A fork waits until none is, and none passes during the fork."""

    def __init__(self, *, before_fork: Callable[[], None]) -> None:
        """`before_fork` is called when no thread is behind the gate."""
        self._before_fork = before_fork
        self._reset()
        os.register_at_fork(before=self._shut, after_in_parent=self._open, after_in_child=self._reset)

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Behind the gate while this lasts. Not reentrant."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_shut)
            self._behind += 1
        try:
            yield
        finally:
            with self._changed:
                self._behind -= 1
                self._changed.notify_all()

    def _shut(self) -> None:
        with self._changed:
            self._is_shut = True
            self._changed.wait_for(lambda: self._behind == 0, timeout=_MOST_SECONDS)
            self._before_fork()

    def _open(self) -> None:
        with self._changed:
            self._is_shut = False
            self._changed.notify_all()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._is_shut = False
        self._behind = 0
