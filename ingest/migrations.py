"""Migrations: the numbered SQL files of `schema/`, applied in order, once, each in a transaction of its own."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ingest.database import Connection
from ingest.errors import MigrationError

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
    """All migrations, in order. A gap or a number given twice is a programming error: ValueError."""
    found = [
        Migration(number=int(path.name[:4]), name=path.stem, sql=path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    ]
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"The migrations in {folder} are not numbered 1, 2, 3, …")
    return found


def migrate(connection: Connection, *, folder: Path = SCHEMA) -> list[str]:
    """Brings the database up to date; answers the names of what it applied (empty: it was up to date).

    `connection` is in autocommit. Safe to run twice, and by two processes at once: one waits for the other. A
    migration that fails leaves nothing of itself behind; those before it stand. Raises MigrationError.
    """
    wanted = migrations(folder)
    applied: list[str] = []
    try:
        while (name := _apply_next(connection, wanted)) is not None:
            applied.append(name)
    except psycopg.errors.LockNotAvailable:
        raise MigrationError(
            "A table is busy and checkouts must not queue behind us; nothing was changed. Run it again."
        ) from None
    return applied


def _apply_next(connection: Connection, wanted: list[Migration]) -> str | None:
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute("set local lock_timeout = '5s'")
        _ensure_history(connection)
        done = dict(connection.execute("select number, checksum from regulars.migrations").fetchall())
        if unknown := sorted(set(done) - {m.number for m in wanted}):
            raise MigrationError(
                f"This database has migration {unknown[-1]}, which this release doesn't know: upgrade Regulars."
            )
        for migration in wanted:
            if migration.number not in done:
                _apply(connection, migration)
                return migration.name
            if done[migration.number] != migration.checksum:
                raise MigrationError(
                    f"{migration.name} was changed after it was applied here: restore the file and write a new one."
                )
    return None


def _ensure_history(connection: Connection) -> None:
    row = connection.execute(
        "select to_regnamespace('regulars') is not null, to_regclass('regulars.migrations') is not null"
    ).fetchone()
    has_schema, has_history = row or (False, False)
    if has_schema and not has_history:
        raise MigrationError(
            f"The database {connection.info.dbname} has a schema `regulars` that is not ours: mend DATABASE_URL."
        )
    if not has_schema:
        connection.execute("create schema regulars")
        connection.execute(
            "create table regulars.migrations (number int primary key, name text not null, "
            "checksum text not null, applied_at timestamptz not null default now())"
        )


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        # Our own file, not a user's text.
        connection.execute(migration.sql.encode())
    except psycopg.errors.LockNotAvailable:
        raise
    except psycopg.Error as error:
        diagnostic = error.diag
        hint = f" {diagnostic.message_hint}" if diagnostic.message_hint else ""
        raise MigrationError(
            f"{_title(migration)} failed and left nothing behind: {diagnostic.message_primary or error}.{hint}"
        ) from None
    connection.execute(
        "insert into regulars.migrations (number, name, checksum) values (%s, %s, %s)",
        [migration.number, migration.name, migration.checksum],
    )


def _title(migration: Migration) -> str:
    return re.sub(r"^(\d+)_(.*)$", r"Migration \1 (\2)", migration.name).replace("_", " ")
