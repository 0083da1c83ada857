"""The raw rows of one moment, as Parquet files: read by several connections in one snapshot, without any contact.

The folder holds a folder for each table, and `extract.json`, which is written last: without it, nothing there is whole.
"""

import json
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from itertools import pairwise
from pathlib import Path
from queue import Empty, SimpleQueue

import psycopg
from psycopg import sql

from flows.errors import ExtractFailed
from flows.lock import BUILDING, SESSION
from flows.spark.columns import EMPTY, Table, read_tables
from flows.spark.csv import blocks, decode
from flows.spark.parquet import Folders, sums_of, write_file
from ingest.storage.connections import Connection, connect

MANIFEST = "extract.json"

# Pages that a connection reads at a time: 256 MB of a table.
_RANGE = 32_768
# Rows of a bucket of shops: a few hundred thousand a month, so that Spark meets no thousands of small files.
_ROWS_OF_A_BUCKET = 15_000_000
_MOST_BUCKETS = 256
# Bytes that a connection holds: of text not yet decoded, and of rows not yet written.
_HELD = 192 * 2**20

# Python's own has 28 digits.
_EXACT = Context(prec=100)

# Of each transaction of an extract. A range takes seconds; counting the largest table, minutes.
_TRANSACTION = SESSION | {
    "statement_timeout": "60min",
    "idle_in_transaction_session_timeout": "0",
    "row_security": "off",
    "jit": "off",
    "timezone": "UTC",
    "datestyle": "ISO",
}


@dataclass(frozen=True, slots=True)
class Extract:
    """An extract that is whole. `as_of` (UTC): everything committed before it is there. `rows`: of each table."""

    folder: Path
    as_of: datetime
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Range:
    """What one connection reads at a time: the rows of a table from one page up to another; None: to its end."""

    table: Table
    first: int | None = None
    last: int | None = None

    @property
    def query(self) -> sql.Composed:
        bounds = [
            sql.SQL("ctid {} {}::tid").format(sql.SQL(sign), sql.Literal(f"({page},0)"))
            for sign, page in ((">=", self.first), ("<", self.last))
            if page is not None
        ]
        return self.table.query(sql.SQL(" and ").join(bounds) if bounds else sql.SQL("true"))


class _Written:
    """What was written of each table, counted by every connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.rows: Counter[str] = Counter()
        self.sums: dict[tuple[str, str], Decimal] = {}

    def add(self, table: Table, rows: int, sums: dict[str, Decimal]) -> None:
        with self._lock:
            self.rows[table.name] += rows
            for name, value in sums.items():
                before = self.sums.get((table.name, name), Decimal(0))
                self.sums[table.name, name] = _EXACT.add(before, value)


def extract(conninfo: str, folder: Path, *, workers: int = 2) -> Extract:
    """Writes the raw rows of this moment to `folder`, in the place of what is there.

    `workers`: how many connections read, besides the one that holds the snapshot. What was written is counted, and its
    amounts added up, by both sides. Raises ExtractFailed, which says what to do, if the disk is full, the server is
    lost, a value has no place in Parquet, or the two sides differ; then nothing new is in `folder`.
    """
    unfinished = folder.with_name(f".{folder.name}.part")
    try:
        _clear(unfinished)
        with _snapshot(conninfo) as (connection, snapshot, as_of):
            buckets = _buckets(connection)
            tables = read_tables(connection, buckets=buckets, salt=secrets.token_hex(16))
            written = _Written()
            with _reading(conninfo, snapshot, _ranges(connection, tables), unfinished, workers, written):
                # Meanwhile, the server adds up what it reads to the others.
                expected = {table.name: _expected(connection, table) for table in tables}
            _compare(expected, written)
        for table in tables:
            if not written.rows[table.name]:
                write_file(table.schema.empty_table(), unfinished / table.name / "none.parquet")
        _write_manifest(unfinished, as_of, buckets, tables, written)
        _clear(folder)
        unfinished.rename(folder)
    except OSError as error:
        raise ExtractFailed(
            f"The raw rows can't be written to {folder}: {error.strerror or error}. Nothing was published. Make room "
            "there, or name a folder on a larger disk (REGULARS_SPARK_FOLDER), and run it again."
        ) from None
    except psycopg.OperationalError as error:
        raise ExtractFailed(
            f"The raw rows can't be read: {error.diag.message_primary or error}. Nothing was published; run it again."
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Extract(folder, as_of, {table.name: written.rows[table.name] for table in tables})


def read_extract(folder: Path) -> Extract:
    """The extract in a folder. Raises ExtractFailed if there is none that is whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        as_of = datetime.fromisoformat(manifest["as_of"])
        return Extract(folder, as_of, {name: table["rows"] for name, table in manifest["tables"].items()})
    except (OSError, ValueError, KeyError, TypeError):
        raise ExtractFailed(f"There is no whole extract in {folder}: run `regulars rebuild --engine spark`.") from None


@contextmanager
def _snapshot(conninfo: str) -> Iterator[tuple[Connection, str, datetime]]:
    """A connection that holds a snapshot, the name by which others read it, and a moment that is just before it."""
    with connect(conninfo, application=BUILDING) as connection:
        (as_of,) = connection.execute("select clock_timestamp()").fetchone() or (None,)
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read, read only")
            _set_up(connection)
            (snapshot,) = connection.execute("select pg_export_snapshot()").fetchone() or ("",)
            yield connection, snapshot, as_of


def _set_up(connection: Connection) -> None:
    for name, value in _TRANSACTION.items():
        connection.execute("select set_config(%s, %s, true)", [name, value])


def _buckets(connection: Connection) -> int:
    """A power of two, from how many orders there are by the server's estimate."""
    (orders,) = connection.execute(
        "select reltuples from pg_class where oid = 'public.shop_orders'::regclass"
    ).fetchone() or (0,)
    buckets = 1
    while buckets < _MOST_BUCKETS and buckets * _ROWS_OF_A_BUCKET < orders:
        buckets *= 2
    return buckets


def _ranges(connection: Connection, tables: Sequence[Table]) -> list[_Range]:
    """The largest tables first, so that none of the connections ends long before the others."""
    ranges: list[tuple[int, list[_Range]]] = []
    for table in tables:
        if table.name in EMPTY:
            continue
        # Read within the snapshot, so every row that it shows lies on one of these pages. A partitioned table has
        # none of its own.
        (pages, kind) = connection.execute(
            "select pg_relation_size(oid) / current_setting('block_size')::bigint, relkind::text "
            "from pg_class where oid = to_regclass(%s)",
            [table.name],
        ).fetchone() or (0, "r")
        edges = [None, *range(_RANGE, pages, _RANGE), None] if kind == "r" else [None, None]
        ranges.append((pages, [_Range(table, first, last) for first, last in pairwise(edges)]))
    return [each for _, of_table in sorted(ranges, key=lambda item: -item[0]) for each in of_table]


@contextmanager
def _reading(
    conninfo: str, snapshot: str, ranges: Sequence[_Range], root: Path, workers: int, written: _Written
) -> Iterator[None]:
    """Has `workers` connections read the ranges while the caller does something else; afterwards all are read."""
    waiting: SimpleQueue[_Range] = SimpleQueue()
    for each in ranges:
        waiting.put(each)
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        running = [
            pool.submit(_work, conninfo, snapshot, waiting, root, f"part-{number}", written, stop)
            for number in range(workers)
        ]
        try:
            yield
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            # Where one failed, the others need not go on.
            stop.set()


def _work(
    conninfo: str,
    snapshot: str,
    waiting: "SimpleQueue[_Range]",
    root: Path,
    name: str,
    written: _Written,
    stop: threading.Event,
) -> None:
    with connect(conninfo, application=BUILDING) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute(sql.SQL("set transaction snapshot {}").format(snapshot))
        _set_up(connection)
        open_table: Table | None = None
        folders: Folders | None = None
        while not stop.is_set():
            try:
                each = waiting.get_nowait()
            except Empty:
                break
            if folders is None or each.table is not open_table:
                if folders is not None:
                    folders.close()
                open_table = each.table
                folders = Folders(root / each.table.name, each.table.schema, name=name, budget=_HELD)
            _read_range(connection, each, folders, written, stop)
        if folders is not None:
            folders.close()


def _read_range(
    connection: Connection, each: _Range, folders: Folders, written: _Written, stop: threading.Event
) -> None:
    with connection.cursor().copy(sql.SQL("copy ({}) to stdout (format csv)").format(each.query)) as copy:
        for block in blocks(copy):
            rows = decode(block, each.table)
            folders.add(rows)
            sums = sums_of(rows, (column.name for column in each.table.sums))
            written.add(each.table, rows.num_rows, sums)
            if stop.is_set():
                return


def _expected(connection: Connection, table: Table) -> tuple[int, dict[str, Decimal]]:
    """How many rows the snapshot has, and the sum of each amount."""
    if table.name in EMPTY:
        return 0, {}
    sums = [sql.SQL("coalesce(sum({}), 0)").format(column.expression) for column in table.sums]
    row = connection.execute(
        sql.SQL("select {} from {}").format(sql.SQL(", ").join([sql.SQL("count(*)"), *sums]), table.identifier)
    ).fetchone() or (0,)
    return row[0], dict(zip((column.name for column in table.sums), row[1:], strict=True))


def _compare(expected: dict[str, tuple[int, dict[str, Decimal]]], written: _Written) -> None:
    wrong = []
    for name, (rows, sums) in expected.items():
        if written.rows[name] != rows:
            wrong.append(f"{name}: {written.rows[name]} rows where {rows} were expected")
        wrong += [
            f"{name}.{column}: {written.sums.get((name, column), 0)} in all where {value} were expected"
            for column, value in sums.items()
            if written.sums.get((name, column), 0) != value
        ]
    if wrong:
        raise ExtractFailed(f"What was extracted is not what is there; nothing was published. {'; '.join(wrong)}.")


def _write_manifest(root: Path, as_of: datetime, buckets: int, tables: Sequence[Table], written: _Written) -> None:
    contents = {
        "as_of": as_of.isoformat(),
        "buckets": buckets,
        "tables": {
            table.name: {
                "rows": written.rows[table.name],
                "columns": {column.name: column.postgres_type for column in table.columns},
            }
            for table in tables
        },
    }
    (root / MANIFEST).write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
