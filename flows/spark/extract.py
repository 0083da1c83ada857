"""The raw rows of one moment as Parquet files, without contacts: all of them, or those changed since the last time.

The folder holds a folder for each table, and `extract.json`, which lists what is complete.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import psycopg
from psycopg import sql

from flows.errors import ExtractFailed
from flows.lock import PATIENCE, set_session
from flows.spark.changed import NAMED_BY, continue_table, is_worth_it
from flows.spark.columns import EMPTY, Table, form_of, read_tables
from flows.spark.manifest import Contents, Manifest
from flows.spark.parquet import Damaged, count, write_file
from flows.spark.reading import read_table
from flows.spark.snapshot import open_snapshot
from ingest.storage.connections import Connection, connect

# Rows of a bucket of shops: a few hundred thousand a month, so that Spark doesn't read thousands of small files.
_ROWS_OF_A_BUCKET = 15_000_000
_MOST_BUCKETS = 256


@dataclass(frozen=True, slots=True)
class Extract:
    """A complete extract. `as_of` (UTC): everything committed before it is there. `rows`: of each table.

    `continued`: the tables of which only changed rows were read.
    """

    folder: Path
    as_of: datetime
    rows: dict[str, int]
    continued: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Kept:
    """Files of an earlier extract that the change log lets one continue."""

    folder: Path
    manifest: Manifest


class _NotEqual(Exception):
    """The files differ from the database."""


def extract(conninfo: str, folder: Path, *, readers: int = 2, patience: float = PATIENCE) -> Extract:
    """Brings `folder` to the raw rows of this moment; call it under the refresh's lock.

    Where the change log can continue the extract that is there, only what changed is read. The same holds for the
    tables that a killed extract had finished. `readers`: how many connections read at once, besides the one that holds
    the snapshot. `patience`: how many seconds each waits for a lock. Afterwards the files are counted, and their
    amounts added up, and so are the database's own.

    Raises ExtractFailed, which says what to do, if the disk is full, the server is lost, or a value has no place in
    Parquet, and psycopg's LockNotAvailable; `folder` then is what it was.
    """
    try:
        with connect(conninfo, application="regulars-extract") as connection:
            set_session(connection, patience=patience)
            if (kept := _kept(connection, folder)) is not None:
                # A change that bypassed the log, or a damaged file: then everything is read.
                with suppress(_NotEqual, Damaged):
                    return _extract(conninfo, connection, folder, kept, readers=readers, patience=patience)
            return _extract(conninfo, connection, folder, None, readers=readers, patience=patience)
    except _NotEqual as error:
        raise ExtractFailed(f"The extract differs from the database; nothing was published. {error}.") from None
    except Damaged as error:
        raise ExtractFailed(
            f"{error} was written just now and can't be read; nothing was published. Look after the disk, and run it "
            "again."
        ) from None
    except OSError as error:
        # The disk may be PostgreSQL's, too.
        shutil.rmtree(_beside(folder, "part"), ignore_errors=True)
        raise ExtractFailed(
            f"The raw rows can't be written to {folder}: {error.strerror or error}. Nothing was published. Make room "
            "there, or name a folder on a larger disk (REGULARS_SPARK_FOLDER), and run it again."
        ) from None
    except psycopg.errors.LockNotAvailable:
        # The caller finds out who holds it.
        raise
    except psycopg.OperationalError as error:
        raise ExtractFailed(
            f"The raw rows can't be read: {error.diag.message_primary or error}. Nothing was published; run it again."
        ) from None


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")


def _kept(connection: Connection, folder: Path) -> _Kept | None:
    """The existing extract, or the tables of a killed one, if the log has all changes since."""
    for place in (folder, _beside(folder, "part")):
        if (manifest := Manifest.read(place)) is None:
            continue
        # A killed extract's moment is not in the database, and a restored database has another moment.
        is_known = connection.execute(
            "select true from regulars.extracts where extract_id::text = %s and as_of is not distinct from %s "
            "and coalesce(as_of, began_at) > now() - interval '31 days'",
            [manifest.extract_id, manifest.as_of if place == folder else None],
        ).fetchone()
        if is_known and is_worth_it(connection):
            return _Kept(place, manifest)
    return None


def _extract(
    conninfo: str, connection: Connection, folder: Path, kept: _Kept | None, *, readers: int, patience: float
) -> Extract:
    if kept is None:
        # Before the snapshot, so that from now on every change is noted.
        with connection.transaction():
            connection.execute("delete from regulars.extracts")
            connection.execute("delete from regulars.unextracted")
            connection.execute("insert into regulars.extracts default values")
    extract_id, salt = connection.execute("select extract_id::text, salt from regulars.extracts").fetchone() or ("", "")
    target, before = _prepare(folder, kept)
    with open_snapshot(conninfo, readers=readers, patience=patience) as snapshot:
        buckets = kept.manifest.buckets if kept else _buckets(snapshot.holder)
        tables = read_tables(snapshot.holder, buckets=buckets, salt=salt)
        form = form_of(tables)
        done = set(kept.manifest.tables) if kept and kept.manifest.form == form else set()
        manifest = Manifest(extract_id=extract_id, form=form, buckets=buckets, as_of=snapshot.as_of)
        for table in tables:
            if table.name in done.intersection(NAMED_BY):
                continue_table(snapshot, table, before / table.name, target / table.name)
            elif table.name not in EMPTY:
                read_table(snapshot, table, target / table.name)
            manifest.tables[table.name] = _check(snapshot.holder, table, target / table.name)
            manifest.write(target)
    _finish(connection, folder, target, manifest)
    rows = {name: contents.rows for name, contents in manifest.tables.items()}
    return Extract(folder, manifest.as_of, rows, frozenset(done.intersection(NAMED_BY)))


def _prepare(folder: Path, kept: _Kept | None) -> tuple[Path, Path]:
    """An empty folder to write to, and the one to continue; a killed one is put aside."""
    target, before = _beside(folder, "part"), folder
    if kept is not None and kept.folder == target:
        before = _beside(folder, "died")
        _remove(before)
        target.rename(before)
    _remove(target)
    target.mkdir(parents=True)
    return target, before


def _finish(connection: Connection, folder: Path, target: Path, manifest: Manifest) -> None:
    _remove(folder)
    target.rename(folder)
    _remove(_beside(folder, "died"))
    # Nothing was published meanwhile, so the snapshot saw all noted changes.
    with connection.transaction():
        connection.execute("update regulars.extracts set as_of = %s", [manifest.as_of])
        connection.execute("delete from regulars.unextracted")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _buckets(connection: Connection) -> int:
    """A power of two, from how many orders there are by the server's estimate."""
    (orders,) = connection.execute(
        "select reltuples from pg_class where oid = 'public.shop_orders'::regclass"
    ).fetchone() or (0,)
    buckets = 1
    while buckets < _MOST_BUCKETS and buckets * _ROWS_OF_A_BUCKET < orders:
        buckets *= 2
    return buckets


def _check(holder: Connection, table: Table, folder: Path) -> Contents:
    """Counts the files of a table, and the rows in the snapshot. Raises _NotEqual if they differ."""
    names = [column.name for column in table.sums]
    with ThreadPoolExecutor(1) as pool:
        of_database = pool.submit(_count, holder, table)
        rows, sums = count(folder, names)
        expected_rows, expected_sums = of_database.result()
    wrong = [f"{table.name}: {rows:,} rows where {expected_rows:,} were expected"] if rows != expected_rows else []
    wrong += [
        f"{table.name}.{name}: {sums[name]:f} in all where {expected_sums[name]:f} were expected"
        for name in names
        if sums[name] != expected_sums[name]
    ]
    if wrong:
        raise _NotEqual("; ".join(wrong))
    if not rows:
        # Spark reads the columns from it.
        write_file(table.schema.empty_table(), folder / "none.parquet")
    return Contents(rows=rows, columns={column.name: column.postgres_type for column in table.columns})


def _count(holder: Connection, table: Table) -> tuple[int, dict[str, Decimal]]:
    if table.name in EMPTY:
        return 0, {}
    sums = [sql.SQL("coalesce(sum({}), 0)").format(column.expression) for column in table.sums]
    row = holder.execute(
        sql.SQL("select {} from {}").format(sql.SQL(", ").join([sql.SQL("count(*)"), *sums]), table.identifier)
    ).fetchone() or (0,)
    return row[0], dict(zip((column.name for column in table.sums), row[1:], strict=True))
