"""The move of a database to another server."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from flows.clients import find_clients
from flows.lock import refresh_lock
from flows.moving.contents import SAME_TEXT, Table, add_up, comparison, table_names
from flows.moving.errors import MoveFailed, MoveRefused
from flows.moving.target import missing_members, missing_roles
from flows.moving.transfer import transfer
from ingest.storage.connections import Connection, connect
from ingest.storage.migrations import require_schema
from ingest.storage.roles import GRANTS

# The target's user may not be who owned all this, and its server may grant strangers what is new.
_RIGHTS = "".join(f"{statement};\n" for statement in GRANTS)


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved. `members`: grants of our roles that the target still lacks, as SQL. `seconds`: all of it."""

    tables: list[Table]
    members: list[str]
    seconds: float

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


def move(source: str, target: str, *, patience: float = 10.0, on_step: Callable[[str], None] = lambda _: None) -> Moved:
    """Copies the whole database `source` to the empty database `target`, both connection strings.

    Until the end nobody can write to the source, and no refresh can run: a checkout's events wait in its spool. It
    waits `patience` seconds for those who are writing. The target has everything, compared table by table, or nothing:
    it is one transaction there. The source is not changed. `on_step` is called with what is being done.

    Raises MoveRefused, MoveFailed, RefreshRunning, DatabaseError, and NoClient where pg_dump is missing or too old.
    """
    began = time.monotonic()
    with refresh_lock(source) as reads, connect(target) as room:
        require_schema(reads)
        programs = find_clients("pg_dump", "psql", server=reads.info.server_version // 10000)
        roles = missing_roles(reads, room)
        members = missing_members(reads, room)
        on_step("keeping writers out of the source")
        with _unchanging(reads, patience=patience) as snapshot:
            tables = add_up(reads, on_table=lambda name: on_step(f"adding up {name}"))
            transfer(
                programs,
                source,
                target,
                snapshot=snapshot,
                before=f"begin;\n{SAME_TEXT}\n{_creating(roles)}\n",
                after=f"{_RIGHTS}{comparison(tables)}\ncommit;\n",
                target_version=room.info.server_version // 10000,
                on_object=on_step,
            )
            _require_unchanged(reads)
        on_step("gathering statistics")
        room.execute("analyze")
    return Moved(tables=tables, members=members, seconds=time.monotonic() - began)


@contextmanager
def _unchanging(connection: Connection, *, patience: float) -> Iterator[str]:
    """A transaction in which nobody else writes to any table; yields the name of its snapshot."""
    tables = table_names(connection)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            # The snapshot is taken by the first query, so after the locks.
            connection.execute(
                sql.SQL("set local lock_timeout = {}; set local idle_in_transaction_session_timeout = 0").format(
                    sql.Literal(f"{round(patience * 1000)}ms")
                )
            )
            connection.execute(sql.SQL("lock table {} in share mode").format(sql.SQL(", ").join(tables)))
            row = connection.execute("select pg_export_snapshot()").fetchone()
            yield row[0] if row else ""
    except psycopg.errors.LockNotAvailable:
        raise MoveRefused(
            f"Somebody is writing to the source{_writers(connection, tables)}. Stop the checkouts, or wait, "
            "and run this again. Nothing was moved."
        ) from None


def _writers(connection: Connection, tables: list[sql.Identifier]) -> str:
    names = [table.as_string() for table in tables]
    holders = [
        holder
        for (holder,) in connection.execute(
            "select regulars.lock_holders((select array_agg(name::regclass::oid) from unnest(%s::text[]) as name))",
            [names],
        )
    ]
    return f": {'; '.join(holders)}" if holders else ""


def _require_unchanged(reads: Connection) -> None:
    """Raises MoveFailed if the connection that kept writers out was lost."""
    try:
        reads.execute("select 1")
    except psycopg.OperationalError:
        raise MoveFailed(
            "The connection that kept writers out of the source was lost, so what was written there since is missing "
            "on the target. Drop the target's database, create it again, and run this again."
        ) from None


def _creating(roles: list[str]) -> str:
    return "\n".join(sql.SQL("create role {} nologin;").format(sql.Identifier(role)).as_string() for role in roles)
