"""The process of `regulars serve` that refreshes: on schedule, and whenever Prefect's pages ask for it."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
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
_SECONDS_FOR_PREFECT = 120.0
_SECONDS_TO_END = 30.0

_DONE = "done"


class WarmProcess:
    """A process that has Prefect imported and forks itself for each refresh.

    So a refresh starts warm, and gives all its memory back when it ends. With a Prefect server in the settings it runs
    as a flow there; while that server is away, without Prefect.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._refresher = Refresher(settings, self._refresh)
        self._deployment: UUID | None = None
        self._is_busy = self._is_stopping = False
        self._watch_at = time.monotonic() + _WATCH_SECONDS

    def run(self) -> None:
        """Runs until SIGTERM. During a refresh it ends after that; to kill it is safe too, the next one takes over."""
        signal.signal(signal.SIGTERM, self._stop)
        if self._settings.prefect_api_url is not None:
            prefect_server.import_prefect()
        self._await_prefect()
        while not self._is_stopping:
            self._refresher.tick()
            if self._prefect_answers():
                self._run_requested()
            if time.monotonic() > self._watch_at:
                self._watch()
            time.sleep(_TICK_SECONDS)

    def _watch(self) -> None:
        """Between refreshes too: that none has succeeded for long is an alarm, as is a spool that doesn't empty."""
        self._watch_at = time.monotonic() + _WATCH_SECONDS
        try:
            # In a fork, because it tells each address in a thread of its own.
            self._fork(partial(watch_quietly, conninfo(self._settings), self._settings))
        except RegularsError as error:
            log.warning("Alarms were not settled. %s", error)

    def _refresh(self) -> None:
        if self._prefect_answers():
            self._fork(partial(run_shown, self._settings))
        else:
            self._fork(partial(run_refresh, self._settings))

    def _run_requested(self) -> None:
        try:
            if self._deployment is None:
                # In a fork, because it starts a thread, which no later fork would have.
                self._fork(prefect_server.offer_runs)
                self._deployment = prefect_server.offered()
            waiting = prefect_server.requested_runs(self._deployment)
        except RegularsError as error:
            # Its health may answer where the rest doesn't, as while it starts or stops.
            log.warning("Prefect's pages could not be asked for runs. %s", error)
            return
        for requested in waiting:
            try:
                self._fork(partial(prefect_server.run_flow, requested=requested))
            except BuildFailed as error:
                log.error("A refresh that Prefect's pages asked for failed. %s", error)

    def _fork(self, work: Callable[[], object]) -> None:
        """Does the work in a copy of this process. Raises BuildFailed with its reason."""
        parent = os.getpid()
        readable, writable = os.pipe()
        self._is_busy = True
        child = os.fork()
        if child == 0:
            os.close(readable)
            tie_to(parent, signal.SIGKILL)
            _tell(work, writable)
            # Not os._exit: Prefect sends what it has left to tell when the interpreter ends.
            sys.exit()
        os.close(writable)
        with os.fdopen(readable) as pipe:
            told = pipe.read()
        status = _await_end(child)
        self._is_busy = False
        if told != _DONE:
            raise BuildFailed(told or f"Its process ended with status {status}.")

    def _prefect_answers(self) -> bool:
        return self._settings.prefect_api_url is not None and prefect_server.answers(self._settings.prefect_api_url)

    def _await_prefect(self) -> None:
        """Prefect's server starts beside this process; a refresh that is due should show up in it."""
        deadline = time.monotonic() + _SECONDS_FOR_PREFECT
        while self._settings.prefect_api_url and not self._prefect_answers() and time.monotonic() < deadline:
            time.sleep(0.5)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_busy:
            sys.exit()
        self._is_stopping = True


def _tell(work: Callable[[], object], pipe: int) -> None:
    """Does the work, and writes into the pipe that it is done, or why not."""
    try:
        work()
        told = _DONE
    except (RegularsError, psycopg.Error) as error:
        told = reason(error)
    os.write(pipe, told.encode())
    os.close(pipe)


def _await_end(child: int) -> int:
    """The exit status of a process whose work is done. One that doesn't end, as without Prefect's server, is killed."""
    deadline = time.monotonic() + _SECONDS_TO_END
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
