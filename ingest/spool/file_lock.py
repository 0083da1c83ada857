"""A lock between processes: one of them holds the file at a time, and the kernel frees it when that one dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.02

_open_files: set[int] = set()


class FileLock:
    """Waiters sleep in the kernel and are woken at once; SQLite's own lock polls. Not reentrant."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def held(self, *, timeout: float | None = None) -> Iterator[bool]:
        """Yields whether the lock was acquired within `timeout` seconds; without a time-out, waits for ever. Raises
        OSError if the file can't be created."""
        file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        _open_files.add(file)
        is_ours = False
        try:
            is_ours = _lock(file, timeout)
            yield is_ours
        finally:
            if is_ours:
                # Closing it is not enough: a child that was forked in the meantime has the same file open.
                fcntl.flock(file, fcntl.LOCK_UN)
            _open_files.discard(file)
            os.close(file)


def _lock(file: int, timeout: float | None) -> bool:
    if timeout is None:
        fcntl.flock(file, fcntl.LOCK_EX)
        return True
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)


def _release_in_child() -> None:
    """If a child kept the files open, it would hold the locks beyond its parent's death."""
    while _open_files:
        os.close(_open_files.pop())


os.register_at_fork(after_in_child=_release_in_child)
