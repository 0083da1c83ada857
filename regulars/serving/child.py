"""A part's process: started, started again when it ends, stopped."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from regulars.serving.parts import Part

log = logging.getLogger("regulars.serve")

# Seconds. A process that ran longer than `_LONGEST_WAIT` counts as started.
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0


class Child:
    """Call `tend` every now and then, in the main thread: it starts what doesn't run.

    After an end it waits for a second, then twice as long each time, up to a minute; from the beginning again once a
    process has lived for a minute.
    """

    def __init__(
        self, part: Part, environment: Mapping[str, str], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.part = part
        self._environment = {**environment, **part.environment}
        self._now = now
        self.process: subprocess.Popen[bytes] | None = None
        """The latest; None after its end was noted."""
        self._started_at = 0.0
        self._start_at = now()
        self._wait = _FIRST_WAIT

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def tend(self) -> None:
        """Starts the process where it doesn't run and its time has come."""
        if self.process is not None and (status := self.process.poll()) is not None:
            self._note_end(status)
        if self.process is None and self._now() >= self._start_at:
            self._start()

    def _note_end(self, status: int) -> None:
        ended = self.process.pid if self.process else 0
        self.process = None
        if self._now() - self._started_at >= _LONGEST_WAIT:
            self._wait = _FIRST_WAIT
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        log.error("%s (process %s) ended %s. It is started again in %.0f s.", self.part.name, ended, how, self._wait)
        self._start_at = self._now() + self._wait
        self._wait = min(2 * self._wait, _LONGEST_WAIT)

    def _start(self) -> None:
        part = self.part
        command = [
            *(sys.executable, "-m", "flows.scheduling.tether", str(os.getpid()), part.orphaned.name),
            *(part.module, *part.arguments),
        ]
        # A session of its own, so that Ctrl-C reaches this process alone, which then stops the others in order.
        output = part.log.open("ab") if part.log else None
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        finally:
            if output:
                output.close()
        self._started_at = self._now()
        log.info("%s is process %s.", part.name, self.process.pid)

    def send(self, number: signal.Signals) -> None:
        """SIGKILL reaches what the process started itself, too; anything else it passes on as it sees fit."""
        if (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                (os.killpg if number == signal.SIGKILL else os.kill)(pid, number)


def stop(children: Sequence[Child], *, within: float) -> None:
    """Ends all with SIGTERM, and after so many seconds those that are left with SIGKILL."""
    for child in children:
        child.send(signal.SIGTERM)
    deadline = time.monotonic() + within
    while any(child.pid for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in children:
        if child.pid is not None:
            log.warning("%s (process %s) did not end within %.0f s and was killed.", child.part.name, child.pid, within)
            child.send(signal.SIGKILL)
        if child.process is not None:
            child.process.wait()
