"""Transactions as an owner: one a request, in which the database itself hides every other owner's rows."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from ingest.storage.budget import BudgetedConnection
from ingest.storage.connections import Connection, conninfo
from ingest.storage.errors import SettingError
from ingest.storage.pool import Pool
from ingest.storage.settings import Settings
from regulars.dashboard.errors import NotLoaded
from regulars.dashboard.queries.shares import Kind, Shares
from regulars.dashboard.security import ended_tokens
from regulars.dashboard.security.tokens import NotSignedIn, Owner

log = logging.getLogger("regulars.dashboard")

ROLE = "regulars_owner"

# A lock for the whole transaction, which publishing waits for before it renames columns: an older snapshot would find a
# renamed column empty. These statements take no snapshot; a SELECT would.
_READING = sql.SQL(
    "begin isolation level repeatable read read only; set local lock_timeout = {lock_timeout}; set local role {role}; "
    "lock table dashboard.freshness in access share mode"
)
# If two end the same token at once, the second waits for the first and then sees its row.
_WRITING = sql.SQL(
    "begin isolation level read committed read write; set local lock_timeout = {lock_timeout}; set local role {role}"
)

_SECONDS_FOR_A_TURN = 1.5
_SECONDS_FOR_A_CONNECTION = 1.0
_SECONDS_IDLE = 60

_NOBODY = Owner("")

_NOT_ALLOWED = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
)


class Reader:
    """Opens transactions as an owner, on a few connections. Use one for all threads, and `close()` it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(
            update={"database_url": settings.dashboard_database_url or settings.database_url}
        )
        self._timeout = settings.dashboard_timeout_ms / 1000
        self._pool: Pool | None = None
        self._shares = Shares(settings.dashboard_connections)

    def open(self) -> None:
        """May start the embedded server; opens no connection. Raises DatabaseError, SettingError."""
        self._pool = Pool(
            conninfo(self._settings),
            size=self._settings.dashboard_connections,
            application="regulars-dashboard",
            # Prepared statements don't survive a transaction pooler.
            prepare_threshold=None,
            asks_first=True,
        )

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    @contextmanager
    def as_owner(self, owner: Owner, *, reads: Kind = "numbers") -> Iterator[BudgetedConnection]:
        """A read-only snapshot of what the owner may see.

        Raises NotSignedIn where the session was signed out, TooManyAtOnce where the owner has too many requests under
        way, and NotLoaded for every failure of the database or the network, also in the middle of the transaction.
        """
        with (
            self._shares.hold(owner.sub, reads, timeout=_SECONDS_FOR_A_TURN),
            self._transaction(owner, _READING) as connection,
        ):
            yield connection

    def end_token(self, owner: Owner) -> bool:
        """Ends the owner's link or session, and returns whether it was valid until now. Raises NotLoaded.

        The API's tokens end only when they expire.
        """
        if owner.token is None:
            return False
        with self._transaction(owner, _WRITING) as connection:
            try:
                was_valid = ended_tokens.end(connection, owner.token)
                connection.execute("commit")
            except _NOT_ALLOWED:
                log.error("this database user may not end sessions: run `regulars migrate`")
                raise NotLoaded from None
            return was_valid

    @contextmanager
    def _transaction(self, owner: Owner, begin: sql.SQL) -> Iterator[BudgetedConnection]:
        if self._pool is None:
            raise NotLoaded
        try:
            with self._pool.connection(timeout=_SECONDS_FOR_A_CONNECTION) as connection:
                self.renew_deadline(connection)
                try:
                    self._begin(connection, owner, begin)
                    yield connection
                finally:
                    if not connection.closed:
                        connection.execute("rollback")
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            log.warning("the database did not respond: %s", type(error).__name__)
            raise NotLoaded from None

    def renew_deadline(self, connection: BudgetedConnection) -> None:
        """Gives a long transaction its full time again.

        The server cancels a query that takes too long; the deadline covers a network that has gone silent.
        """
        connection.deadline = time.monotonic() + 2 * self._timeout

    def check(self) -> None:
        """Raises SettingError with the SQL to run where no owner could read, and NotLoaded without a database."""
        if self._pool is None:
            raise NotLoaded
        try:
            with self._pool.connection(timeout=10) as connection:
                _require_role(connection)
        except psycopg.OperationalError:
            raise NotLoaded from None

    def can_answer(self) -> bool:
        """Whether an owner's request would succeed now: opens the same transaction, as an owner of no shop."""
        try:
            with self.as_owner(_NOBODY):
                return True
        except NotLoaded:
            return False

    def _begin(self, connection: Connection, owner: Owner, begin: sql.SQL) -> None:
        """Begins in one round trip. Every setting is local to the transaction.

        Raises NotSignedIn where a session that would read was signed out.
        """
        milliseconds = int(self._timeout * 1000)
        local = {
            "request.jwt.claims": json.dumps({"sub": owner.sub, "role": ROLE}),
            "statement_timeout": str(milliseconds),
            "idle_in_transaction_session_timeout": str(_SECONDS_IDLE * 1000),
            # Where a database's own settings turn it off, a policy raises instead of hiding rows.
            "row_security": "on",
            "timezone": "UTC",
            # Compiling costs short queries more than it saves.
            "jit": "off",
        }
        configure = sql.SQL("select {}").format(
            sql.SQL(", ").join(
                sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(value))
                for name, value in local.items()
            )
        )
        opening = begin.format(lock_timeout=sql.Literal(milliseconds // 2), role=sql.Identifier(ROLE))
        statements: list[sql.Composable] = [opening, configure]
        asks = owner.token is not None and begin is _READING
        if owner.token is not None and asks:
            statements.append(ended_tokens.question(owner.token))
        try:
            cursor = connection.execute(sql.SQL("; ").join(statements))
        except _NOT_ALLOWED:
            log.error("this database user may not read as %s: `regulars dashboard` says why when it starts", ROLE)
            raise NotLoaded from None
        except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.FeatureNotSupported):
            log.error("this database is a read-only replica: nobody can sign in or out there")
            raise NotLoaded from None
        if asks and _last_answer(cursor) != (False,):
            raise NotSignedIn("ended")


def _last_answer(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...] | None:
    """The row of the last of several statements."""
    while cursor.nextset():
        pass
    return cursor.fetchone()


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
            ), false) and exists (
                select 1
                from pg_proc as procedures
                inner join pg_roles as roles on roles.rolname = %(role)s
                where
                    procedures.pronamespace = to_regnamespace('dashboard')
                    and procedures.proname = 'end_token'
                    and has_function_privilege(roles.oid, procedures.oid, 'execute')
            )
        """,
        {"role": ROLE},
    ).fetchone()
    user, is_there, may_read = row or ("", False, False)
    if not is_there:
        raise SettingError(
            f"There is no role {ROLE}: have an administrator run `create role {ROLE} nologin;`, "
            "then run `regulars migrate`."
        )
    try:
        with connection.transaction():
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ROLE)))
    except psycopg.errors.InsufficientPrivilege:
        grant = sql.SQL("grant {} to {};").format(sql.Identifier(ROLE), sql.Identifier(user)).as_string()
        raise SettingError(f"The dashboard's database user may not read as an owner: run {grant}") from None
    if not may_read:
        raise SettingError(f"The role {ROLE} may not use schema dashboard as it should: run `regulars migrate`.")
