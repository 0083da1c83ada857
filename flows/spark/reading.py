"""Reads the rows of a table by several connections at once, into Parquet files."""

from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event

import psycopg
from psycopg import sql

from flows.spark.columns import Table
from flows.spark.csv import blocks, decode
from flows.spark.parquet import Folders
from flows.spark.snapshot import Snapshot
from ingest.storage.connections import Connection

# Pages that a connection reads at a time: 256 MB of a table.
_RANGE = 32_768
# Bytes of rows that a connection holds until they are written.
_HELD = 192 * 2**20


def read_table(snapshot: Snapshot, table: Table, folder: Path) -> None:
    """Writes all rows of a table to `folder`."""
    _read(snapshot, table, folder, _ranges(snapshot.holder, table), name="part")


def read_rows(snapshot: Snapshot, table: Table, folder: Path, *, condition: sql.Composable, name: str) -> None:
    """Writes the rows under a condition, to files named `name` and a number."""
    _read(snapshot, table, folder, [condition], name=name)


def _ranges(connection: Connection, table: Table) -> list[sql.Composable]:
    # Within the snapshot, so each of its rows is on one of these pages. A partitioned table itself has no pages.
    pages, kind = connection.execute(
        "select pg_relation_size(oid) / current_setting('block_size')::bigint, relkind::text "
        "from pg_class where oid = to_regclass(%s)",
        [table.name],
    ).fetchone() or (0, "r")
    if kind != "r" or pages <= _RANGE:
        return [sql.SQL("true")]
    return [
        sql.SQL(" and ").join(
            sql.SQL("ctid {} {}::tid").format(sql.SQL(sign), sql.Literal(f"({page},0)"))
            for sign, page in ((">=", first), ("<", last))
            if page is not None
        )
        for first, last in pairwise([None, *range(_RANGE, pages, _RANGE), None])
    ]


def _read(snapshot: Snapshot, table: Table, folder: Path, conditions: Sequence[sql.Composable], *, name: str) -> None:
    waiting: SimpleQueue[sql.Composable] = SimpleQueue()
    for condition in conditions:
        waiting.put(condition)
    stop = Event()
    readers = snapshot.readers[: len(conditions)]
    with ThreadPoolExecutor(len(readers)) as pool:
        try:
            running = [
                pool.submit(_work, reader, table, Folders(folder, table.schema, name=f"{name}-{number}", budget=_HELD),
                            waiting, stop)
                for number, reader in enumerate(readers)
            ]  # fmt: skip
            for future in as_completed(running):
                future.result()
        except BaseException:
            # Otherwise the pool would wait until the others have read the rest or got their locks.
            stop.set()
            for reader in readers:
                with suppress(psycopg.Error):
                    reader.cancel_safe(timeout=5)
            raise


def _work(
    reader: Connection, table: Table, folders: Folders, waiting: "SimpleQueue[sql.Composable]", stop: Event
) -> None:
    """Reads until nothing waits, or until it has to stop."""
    while True:
        try:
            condition = waiting.get_nowait()
        except Empty:
            break
        query = sql.SQL("copy ({}) to stdout (format csv)").format(table.query(condition))
        with reader.cursor().copy(query) as copy:
            for block in blocks(copy):
                if stop.is_set():
                    raise CancelledError
                folders.add(decode(block, table))
    folders.close()
