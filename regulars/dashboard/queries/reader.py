"""Reading as an owner: one transaction a request, in which the database itself shows no other owner's rows."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from ingest.storage.budget import BudgetedConnection
from ingest.storage.connections import Connection, conninfo
from ingest.storage.errors import SettingError
from ingest.storage.pool import Pool
from ingest.storage.settings import Settings
from regulars.dashboard.errors import NotLoaded
from regulars.dashboard.security.tokens import Owner

log = logging.getLogger("regulars.dashboard")

ROLE = "regulars_owner"

_SECONDS_FOR_A_CONNECTION = 1.0
_SECONDS_IDLE = 60

_NOBODY = Owner("")


class Reader:
    """Holds a few connections, opened when they are first needed. Use one for all threads, and `close()` it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(
            update={"database_url": settings.dashboard_database_url or settings.database_url}
        )
        self._timeout = settings.dashboard_timeout_ms / 1000
        self._pool: Pool | None = None
        self._few = threading.BoundedSemaphore(max(1, settings.dashboard_connections // 2))

    def open(self) -> None:
        """May start the embedded server; opens no connection. Raises DatabaseError, SettingError."""
        self._pool = Pool(
            conninfo(self._settings),
            size=self._settings.dashboard_connections,
            application="regulars-dashboard",
            # Prepared statements would not outlive a transaction pooler's.
            prepare_threshold=None,
            asks_first=True,
        )

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    @contextmanager
    def as_owner(self, owner: Owner) -> Iterator[BudgetedConnection]:
        """One snapshot of what the owner may see, read only.

        Raises NotLoaded for whatever the database or the network does, also in the middle.
        """
        if self._pool is None:
            raise NotLoaded
        try:
            with self._pool.connection(timeout=_SECONDS_FOR_A_CONNECTION) as connection:
                self.allow_time(connection)
                try:
                    self._begin(connection, owner)
                    yield connection
                finally:
                    if not connection.closed:
                        connection.execute("rollback")
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            log.warning("the database did not answer: %s", type(error).__name__)
            raise NotLoaded from None

    @contextmanager
    def one_of_few(self) -> Iterator[None]:
        """For what takes long: half of the connections at most, so that the others go on. Raises NotLoaded."""
        if not self._few.acquire(timeout=_SECONDS_FOR_A_CONNECTION):
            log.warning("too many exports at once")
            raise NotLoaded
        try:
            yield
        finally:
            self._few.release()

    def allow_time(self, connection: BudgetedConnection) -> None:
        """Gives a transaction that is to last its time anew.

        The server ends a query that takes too long; this is for a network that has gone silent.
        """
        connection.deadline = time.monotonic() + 2 * self._timeout

    def check(self) -> None:
        """Raises SettingError with the SQL to run where no owner could be answered; NotLoaded without a database."""
        if self._pool is None:
            raise NotLoaded
        try:
            with self._pool.connection(timeout=10) as connection:
                _require_role(connection)
        except psycopg.OperationalError:
            raise NotLoaded from None

    def can_answer(self) -> bool:
        """Whether an owner's request would be answered now: it is tried in the same way, as nobody."""
        try:
            with self.as_owner(_NOBODY):
                return True
        except NotLoaded:
            return False

    def _begin(self, connection: Connection, owner: Owner) -> None:
        """One message, so one round trip. Everything is the transaction's, and gone with it."""
        milliseconds = int(self._timeout * 1000)
        held = {
            "role": ROLE,
            "request.jwt.claims": json.dumps({"sub": owner.sub, "role": ROLE}),
            "statement_timeout": str(milliseconds),
            "lock_timeout": str(milliseconds // 2),
            "idle_in_transaction_session_timeout": str(_SECONDS_IDLE * 1000),
            # Where somebody's settings turn it off, the wall raises instead of hiding rows.
            "row_security": "on",
            "timezone": "UTC",
            # A compiler costs short queries more than it saves.
            "jit": "off",
        }
        begin = sql.SQL("begin isolation level repeatable read read only; select {}").format(
            sql.SQL(", ").join(
                sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(value))
                for name, value in held.items()
            )
        )
        try:
            connection.execute(begin)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
            log.error("this database's user may not read as %s: `regulars dashboard` says why when it starts", ROLE)
            raise NotLoaded from None


def _require_role(connection: Connection) -> None:
    row = connection.execute(
        """
        select
            current_user,
            exists (select 1 from pg_roles where rolname = %(role)s),
            coalesce((
                select has_schema_privilege(oid, to_regnamespace('dashboard'), 'usage')
                from pg_roles
                where rolname = %(role)s
            ), false)
        """,
        {"role": ROLE},
    ).fetchone()
    user, is_there, may_read = row or ("", False, False)
    if not is_there:
        raise SettingError(
            f"There is no role {ROLE}: let somebody who may run `create role {ROLE} nologin;`, then `regulars migrate`."
        )
    try:
        with connection.transaction():
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ROLE)))
    except psycopg.errors.InsufficientPrivilege:
        grant = sql.SQL("grant {} to {};").format(sql.Identifier(ROLE), sql.Identifier(user)).as_string()
        raise SettingError(f"The dashboard's user may not read as an owner: run {grant}") from None
    if not may_read:
        raise SettingError(f"The role {ROLE} may not read schema dashboard: run `regulars migrate`.")
