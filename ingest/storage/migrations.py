"""Migrations: the numbered SQL files of `schema/`, applied in order, once, each in a transaction of its own."""

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ingest.storage.connections import Connection
from ingest.storage.errors import DatabaseError, MigrationError
from ingest.storage.indexes import build_indexes

SCHEMA = Path(__file__).parent / "schema"
_LOCK = 0x5265_6775_6C61  # "Regula"


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path = SCHEMA) -> list[Migration]:
    """All migrations, in order. Raises ValueError on a gap or a duplicate number, which are programming errors."""
    found = [
        Migration(number=int(path.name[:4]), name=path.stem, sql=path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    ]
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"The migrations in {folder} are not numbered 1, 2, 3, …")
    return found


def migrate(
    connection: Connection,
    *,
    folder: Path = SCHEMA,
    patience: float = 20.0,
    on_step: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Brings the database up to date; returns the names of the applied migrations (empty if it was up to date).

    `connection` is in autocommit. Idempotent, and safe to run in two processes at once: one waits for the other. Each
    migration is a transaction of its own, so one that fails or is killed leaves nothing behind, and those before it
    stand: run it again. A lock is waited for half a second at most, because the storefront's own statements would queue
    behind us; a busy table is tried again for `patience` seconds. Indexes on the storefront's tables are built last,
    concurrently. `on_step` is called with each migration's name as it begins. Raises MigrationError.
    """
    wanted = migrations(folder)
    applied: list[str] = []
    end = time.monotonic() + patience
    while True:
        try:
            name = _apply_next(connection, wanted, on_step)
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > end:
                raise MigrationError(
                    "A table is busy and checkouts must not queue behind us; nothing of this step was changed. "
                    "Run it again."
                ) from None
            time.sleep(0.5)
            continue
        if name is None:
            break
        applied.append(name)
    if folder == SCHEMA:
        build_indexes(connection)
    return applied


def pending(connection: Connection) -> list[str]:
    """The names of the migrations that `migrate` would apply. Raises MigrationError if it would refuse to."""
    wanted = migrations()
    done = _history(connection)
    _refuse_unknown(done, wanted)
    return [migration.name for migration in wanted if migration.number not in done]


def require_schema(connection: Connection) -> None:
    """Raises DatabaseError, which says what to run, if Regulars is not in this database or not up to date."""
    row = connection.execute("select has_table_privilege(to_regclass('regulars.migrations'), 'select')").fetchone()
    may_read = row[0] if row else None
    database = connection.info.dbname
    if may_read is None:
        raise DatabaseError(
            f"The database {database} has no Regulars in it: run `regulars migrate`, or correct DATABASE_URL."
        )
    if not may_read:
        # A login that may only check out can't see the migrations; the operator who migrates does.
        return
    done, wanted = _history(connection), migrations()
    _refuse_unknown(done, wanted)
    if len(done) < len(wanted):
        raise DatabaseError(
            f"The database {database} has {len(done)} of {len(wanted)} migrations: run `regulars migrate`."
        )


def _apply_next(connection: Connection, wanted: list[Migration], on_step: Callable[[str], None]) -> str | None:
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute("set local lock_timeout = '500ms'")
        _ensure_history(connection)
        done = _history(connection)
        _refuse_unknown(done, wanted)
        for migration in wanted:
            if migration.number not in done:
                on_step(migration.name)
                _apply(connection, migration)
                return migration.name
            if done[migration.number] != migration.checksum:
                raise MigrationError(
                    f"{migration.name} was changed after it was applied here: restore the file and write a new one."
                )
    return None


def _history(connection: Connection) -> dict[int, str]:
    """The checksum of each applied migration, by its number."""
    row = connection.execute("select to_regclass('regulars.migrations') is not null").fetchone()
    if row != (True,):
        return {}
    return dict(connection.execute("select number, checksum from regulars.migrations").fetchall())


def _refuse_unknown(done: Mapping[int, str], wanted: list[Migration]) -> None:
    if unknown := sorted(set(done) - {migration.number for migration in wanted}):
        raise MigrationError(
            f"This database has migration {unknown[-1]}, which this release doesn't know: upgrade Regulars."
        )


def _ensure_history(connection: Connection) -> None:
    row = connection.execute(
        "select to_regnamespace('regulars') is not null, to_regclass('regulars.migrations') is not null"
    ).fetchone()
    has_schema, has_history = row or (False, False)
    if has_schema and not has_history:
        raise MigrationError(
            f"The database {connection.info.dbname} has a schema `regulars` that is not ours: correct DATABASE_URL."
        )
    if not has_schema:
        connection.execute("create schema regulars")
        connection.execute(
            "create table regulars.migrations (number int primary key, name text not null, "
            "checksum text not null, applied_at timestamptz not null default now())"
        )


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        # The text is our own file, not a user's input.
        connection.execute(migration.sql.encode())
    except psycopg.OperationalError:
        # A busy table, or a connection that is gone: nothing is wrong with the migration.
        raise
    except psycopg.Error as error:
        diagnostic = error.diag
        hint = f" {diagnostic.message_hint}" if diagnostic.message_hint else ""
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            hint += " Run it as the user who owns the storefront's tables."
        raise MigrationError(
            f"{_title(migration)} failed and left nothing behind: {diagnostic.message_primary or error}.{hint}"
        ) from None
    connection.execute(
        "insert into regulars.migrations (number, name, checksum) values (%s, %s, %s)",
        [migration.number, migration.name, migration.checksum],
    )


def _title(migration: Migration) -> str:
    return re.sub(r"^(\d+)_(.*)$", r"Migration \1 (\2)", migration.name).replace("_", " ")
