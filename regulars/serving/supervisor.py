"""Keeps the parts up until SIGTERM, and then stops them."""

import logging
import os
import signal
import time
from collections.abc import Mapping
from datetime import timedelta
from types import FrameType

import psycopg

from flows.scheduling.prefect_server import api_note, server_environment
from ingest.storage.connections import connect, conninfo
from ingest.storage.embedded import embedded_address, stop_unused
from ingest.storage.errors import DatabaseError
from ingest.storage.migrations import require_schema
from ingest.storage.settings import Settings
from regulars.serving.child import Child, stop
from regulars.serving.health import Health, health_served
from regulars.serving.parts import Part, Ports, Removable, database_part, other_parts

log = logging.getLogger("regulars.serve")

_TICK_SECONDS = 0.2
_SECONDS_FOR_THE_DATABASE = 60.0
# Less than ten seconds in all.
_SECONDS_TO_STOP = 6.0
_SECONDS_TO_STOP_THE_DATABASE = 3.0


class Supervisor:
    """Starts the database, then the parts that need it; stops them in the opposite order. Use it in the main thread."""

    def __init__(self, settings: Settings, *, ports: Ports, left_out: Mapping[Removable, str]) -> None:
        self._settings = settings
        self._ports = ports
        self._left_out = left_out
        self._conninfo = conninfo(settings) if settings.database_url else embedded_address(settings.home)
        self._database: list[Child] = []
        self._others: list[Child] = []
        self._is_stopping = False

    def run(self) -> None:
        """Returns after SIGTERM or Ctrl-C.

        Raises DatabaseError where the database has no Regulars in it or the embedded one doesn't start, SettingError
        where somebody else has the health port.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._settings.home.mkdir(parents=True, exist_ok=True)
        health = Health(
            lambda: [*self._database, *self._others],
            conninfo=self._conninfo,
            stale_after=timedelta(hours=self._settings.stale_after_hours),
            left_out=self._left_out,
        )
        with health_served(health, host=self._ports.host, port=self._ports.health):
            try:
                self._keep_up()
            finally:
                log.info("Everything stops.")
                api_note(self._settings).unlink(missing_ok=True)
                stop(self._others, within=_SECONDS_TO_STOP)
                stop(self._database, within=_SECONDS_TO_STOP_THE_DATABASE)
                if self._database:
                    # What was stopped while it started the server, or was killed, left it.
                    stop_unused(self._settings.home)

    def _keep_up(self) -> None:
        if (part := database_part(self._settings)) is not None:
            self._database.append(self._child(part))
        self._await_database()
        self._others += map(self._child, other_parts(self._settings, self._ports, left_out=self._left_out))
        if Removable.PREFECT not in self._left_out:
            # By it, `regulars refresh` finds the server.
            api_note(self._settings).write_text(server_environment(self._settings)["PREFECT_API_URL"])
        while not self._is_stopping:
            self._tend()

    def _child(self, part: Part) -> Child:
        return Child(part, os.environ)

    def _tend(self) -> None:
        for child in (*self._database, *self._others):
            child.tend()
        time.sleep(_TICK_SECONDS)

    def _await_database(self) -> None:
        """Waits for the embedded server. Another may be away: the parts start without it, and wait for it."""
        deadline = time.monotonic() + _SECONDS_FOR_THE_DATABASE
        while not self._is_stopping:
            self._tend()
            if self._database_answers():
                with connect(self._conninfo, application="regulars-serve") as connection:
                    require_schema(connection)
                return
            if not self._database:
                log.warning("The database doesn't answer. Everything starts all the same, and works once it does.")
                return
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"The embedded PostgreSQL does not start; its log is {self._settings.home / 'postgres' / 'log'}."
                )

    def _database_answers(self) -> bool:
        try:
            psycopg.connect(self._conninfo, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True
