"""The process of `regulars serve` that refreshes: on schedule, and when somebody requests it on Prefect's pages."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from types import FrameType
from uuid import UUID

import psycopg

from flows.alarms.watch import watch_quietly
from flows.errors import BuildFailed, reason
from flows.scheduling import prefect_server
from flows.scheduling.refresher import Refresher
from flows.scheduling.shown_run import run_shown
from flows.scheduling.tether import tie_to
from flows.steps import run_refresh
from ingest.storage.connections import conninfo
from ingest.storage.errors import RegularsError
from ingest.storage.settings import Settings

log = logging.getLogger("regulars.serve.refresh")

_TICK_SECONDS = 5.0
_WATCH_SECONDS = 600.0
_SECONDS_TO_WATCH = 120.0
_SECONDS_FOR_PREFECT = 120.0
_SECONDS_TO_END = 30.0

_DONE = "done"


class WarmProcess:
    """A process that has Prefect imported and forks itself for each refresh.

    So a refresh starts quickly, and frees all its memory when it ends. With a Prefect server in the settings it runs as
    a flow there; while that server is down, without Prefect.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._refresher = Refresher(settings, self._refresh)
        self._deployment: UUID | None = None
        self._is_busy = self._is_stopping = False
        self._watch_at = time.monotonic() + _WATCH_SECONDS

    def run(self) -> None:
        """Runs until SIGTERM. During a refresh it ends after that; killing it is safe too."""
        signal.signal(signal.SIGTERM, self._stop)
        if self._settings.prefect_api_url is not None:
            prefect_server.import_prefect()
        self._await_prefect()
        while not self._is_stopping:
            self._refresher.tick()
            if self._prefect_answers():
                self._run_requested()
            self._watch_if_due()
            time.sleep(_TICK_SECONDS)

    def _watch_if_due(self) -> None:
        """Settles the alarms, between refreshes and while one runs, since a refresh may hang."""
        if time.monotonic() < self._watch_at:
            return
        self._watch_at = time.monotonic() + _WATCH_SECONDS
        if self._is_stopping:
            return
        try:
            with self._busy():
                # In a fork, because it notifies each address in a thread of its own.
                watcher = _Fork(partial(watch_quietly, conninfo(self._settings), self._settings))
                if not watcher.ends_within(_SECONDS_TO_WATCH):
                    watcher.kill()
                watcher.finish()
        except RegularsError as error:
            log.warning("Alarms were not settled. %s", error)

    def _refresh(self) -> None:
        if self._prefect_answers():
            self._run(partial(run_shown, self._settings))
        else:
            self._run(partial(run_refresh, self._settings))

    def _run_requested(self) -> None:
        try:
            if self._deployment is None:
                # In a fork, because it starts a thread, which later forks would lack.
                self._run(prefect_server.offer_runs)
                self._deployment = prefect_server.offered()
            waiting = prefect_server.requested_runs(self._deployment)
        except RegularsError as error:
            # The server's health may answer when the rest doesn't, as while it starts or stops.
            log.warning("Prefect's pages could not be asked for runs. %s", error)
            return
        for requested in waiting:
            try:
                self._run(partial(prefect_server.run_flow, requested=requested))
            except BuildFailed as error:
                log.error("A refresh that Prefect's pages asked for failed. %s", error)

    def _run(self, work: Callable[[], object]) -> None:
        """Does the work in a fork, and settles alarms until it ends. Raises BuildFailed with its reason."""
        with self._busy():
            worker = _Fork(work)
            while not worker.ends_within(max(0.0, self._watch_at - time.monotonic())):
                self._watch_if_due()
            worker.finish()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Within it, SIGTERM doesn't end this process, which would kill its forks."""
        was_busy, self._is_busy = self._is_busy, True
        try:
            yield
        finally:
            self._is_busy = was_busy

    def _prefect_answers(self) -> bool:
        return self._settings.prefect_api_url is not None and prefect_server.answers(self._settings.prefect_api_url)

    def _await_prefect(self) -> None:
        """Waits for Prefect's server, which starts beside this process, so that it shows the first refresh."""
        deadline = time.monotonic() + _SECONDS_FOR_PREFECT
        while self._settings.prefect_api_url and not self._prefect_answers() and time.monotonic() < deadline:
            time.sleep(0.5)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_busy:
            sys.exit()
        self._is_stopping = True


class _Fork:
    """A copy of this process that does some work, and writes into a pipe that it is done, or why not.

    Start it from the main thread. The kernel kills it when this process ends.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        parent = os.getpid()
        readable, writable = os.pipe()
        self._process_id = os.fork()
        if self._process_id == 0:
            os.close(readable)
            tie_to(parent, signal.SIGKILL)
            _do(work, writable)
            # Not os._exit: Prefect sends its remaining events when the interpreter ends.
            sys.exit()
        os.close(writable)
        self._pipe = os.fdopen(readable)

    def ends_within(self, seconds: float) -> bool:
        """Waits at most so long for the end of the work. False: it goes on."""
        return bool(wait([self._pipe.fileno()], timeout=seconds))

    def kill(self) -> None:
        os.kill(self._process_id, signal.SIGKILL)

    def finish(self) -> None:
        """Waits for the end of the work and of the process. Raises BuildFailed with the reason if it failed."""
        with self._pipe:
            outcome = self._pipe.read()
        status = _await_end(self._process_id)
        if outcome != _DONE:
            raise BuildFailed(outcome or f"Its process ended with status {status}.")


def _do(work: Callable[[], object], pipe: int) -> None:
    """Does the work, and writes into the pipe that it is done, or why not."""
    try:
        work()
        outcome = _DONE
    except (RegularsError, psycopg.Error) as error:
        outcome = reason(error)
    os.write(pipe, outcome.encode())
    os.close(pipe)


def _await_end(child: int) -> int:
    """The exit status of a process whose work is done. Kills one that doesn't end, as without Prefect's server."""
    deadline = time.monotonic() + _SECONDS_TO_END
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
