"""Compares every cell of Spark's relations with PostgreSQL's: both must have the same rows, in any order."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
from psycopg import sql

from flows.building.project import relations
from flows.errors import ExtractFailed
from flows.lock import PATIENCE, blocked, refresh_lock
from flows.shapes import MOMENTS, PUBLISHED, WORKING, shapes
from flows.spark.build import build
from flows.spark.columns import Column, Table
from flows.spark.csv import blocks, decode
from flows.spark.extract import extract
from flows.spark.needs import require_spark
from flows.spark.parquet import write_file
from flows.spark.session import address, spark_session
from flows.spark.sources import register_files
from flows.spark.transactions import set_for_long
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession
    from pyspark.sql.types import StructField

PUBLISHED_INPUTS = ("segment_changes", "customer_segments")
"""The published relations that the model `segment_changes` reads: its own rows, and the segments."""

# How many differing rows of a relation are shown.
_TOLD = 10

# Equal rows of the two sides cancel each other out, also where a row occurs several times.
_DIFFERENCE = """
    select {columns}, sum(side) as side
    from (
        select {columns}, 1 as side from {{postgres}}
        union all
        select {columns}, -1 as side from {{spark}}
    ) as sides
    group by {columns}
    having sum(side) <> 0
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """A relation that was compared: PostgreSQL's rows and cells, and the differences in words, if any."""

    name: str
    rows: int
    cells: int
    differences: tuple[str, ...]


@contextmanager
def computed_by_spark(
    settings: Settings, conninfo: str, *, patience: float = PATIENCE
) -> Iterator[tuple[int, Iterator[Compared]]]:
    """Extracts, computes everything on Spark, and yields how many changes wait for a refresh, and the comparisons.

    Nothing is published, and no refresh runs meanwhile. Changes that wait are in Spark's numbers and not yet in
    PostgreSQL's. `patience`: how many seconds the extract waits for a lock. Raises RefreshRunning, Blocked,
    ExtractFailed, SparkMissing and BuildFailed, the last also in the block.
    """
    require_spark()
    folder = settings.spark_folder or settings.home / "spark"
    compared, record = folder / "compared", folder / "record"
    with refresh_lock(conninfo) as connection:
        try:
            extracted = extract(conninfo, folder / "extract", readers=settings.threads, patience=patience)
        except psycopg.errors.LockNotAvailable as error:
            raise blocked(connection, f"A lock could not be obtained: {error.diag.message_primary}.") from None
        # The batch holds those of a refresh that failed.
        (waiting,) = connection.execute(
            "select (select count(*) from regulars.changes) + (select count(*) from regulars.batch)"
        ).fetchone() or (0,)
        with spark_session(folder / "warehouse", master=settings.spark_master, memory=settings.spark_memory) as spark:
            try:
                export_record(connection, spark, record)
                build(settings, spark, extracted.folder)
                yield waiting, compare(connection, spark, compared, as_of=extracted.as_of)
            finally:
                for each in (compared, record, folder / "warehouse"):
                    shutil.rmtree(each, ignore_errors=True)


def export_record(connection: Connection, spark: SparkSession, folder: Path) -> None:
    """Registers the published relations in a session, so that a build there records what a refresh here would."""
    spark.sql(f"create schema if not exists {PUBLISHED}")
    with connection.transaction():
        set_for_long(connection)
        for name in PUBLISHED_INPUTS:
            table = _table(connection, name)
            if table is not None:
                _export(connection, table, folder / name)
                register_files(spark, f"{PUBLISHED}.{name}", folder / name)


def compare(
    connection: Connection, spark: SparkSession, folder: Path, *, as_of: datetime, only: Collection[str] = ()
) -> Iterator[Compared]:
    """Compares each published relation, or `only` these, with Spark's working one, one after another.

    `folder` takes PostgreSQL's rows of one relation at a time. Views that read the clock are read as at `as_of`. Memory
    is bounded: rows are divided among Spark's tasks by a hash of all that is in them.
    """
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        set_for_long(connection)
        connection.execute("select set_config('regulars.now', %s, true)", [as_of.isoformat()])
        names = {relation.name for relation in relations() if relation.schema == PUBLISHED}
        # Somebody else's tables may have no key.
        keys = {name: shape.key for name, shape in shapes(connection, PUBLISHED).items() if name in names}
        for name in sorted(names.intersection(only) if only else names):
            yield _compare(connection, spark, folder, name, keys.get(name, ()))
        shutil.rmtree(folder, ignore_errors=True)


def _compare(connection: Connection, spark: SparkSession, folder: Path, name: str, key: Sequence[str]) -> Compared:
    if not spark.catalog.tableExists(f"{WORKING}.{name}"):
        return Compared(name, 0, 0, ("Spark has no such relation",))
    fields = [field for field in spark.table(f"{WORKING}.{name}").schema if field.name not in MOMENTS]
    table = _table(connection, name, fields)
    if table is None:
        return Compared(name, 0, 0, (f"{PUBLISHED} has no such relation, or other columns",))
    try:
        rows = _export(connection, table, folder)
    except ExtractFailed as error:
        # PostgreSQL has a value outside the range of Spark's type.
        return Compared(name, 0, 0, (str(error),))
    differing = _difference(spark, folder, name, [field.name for field in fields])
    found = differing.orderBy(*(key or [fields[0].name])).limit(_TOLD).collect()
    return Compared(name, rows, rows * len(fields), tuple(_told(found, key)))


def _difference(spark: SparkSession, folder: Path, name: str, columns: Sequence[str]) -> DataFrame:
    query = _DIFFERENCE.format(columns=", ".join(columns))
    return spark.sql(query, postgres=spark.read.parquet(address(folder)), spark=spark.table(f"{WORKING}.{name}"))


def _told(rows: Sequence[Row], key: Sequence[str]) -> Iterator[str]:
    """The differences: columns of two rows with the same key, or a whole row that only one side has."""
    waiting = [row.asDict() for row in rows]
    while waiting:
        row = waiting.pop(0)
        side = row["side"]
        at = {name: row[name] for name in key}
        other = next((each for each in waiting if key and each["side"] == -side and at.items() <= each.items()), None)
        if other is None:
            values = {name: value for name, value in row.items() if name != "side"}
            yield f"only in {'PostgreSQL' if side > 0 else 'Spark'}: {_written(values)}"
            continue
        waiting.remove(other)
        postgres, spark = (row, other) if side > 0 else (other, row)
        differing = [name for name in row if name != "side" and row[name] != other[name]]
        cells = (f"{name} is {_plain(postgres[name])} and on Spark {_plain(spark[name])}" for name in differing)
        yield f"{_written(at)}: {', '.join(cells)}"


def _written(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in values.items())


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "null" if value is None else str(value)


def _table(connection: Connection, name: str, fields: Sequence[StructField] | None = None) -> Table | None:
    """A relation as it is exported: with Spark's types, if these are given. None if it has not just these columns."""
    types = dict(
        connection.execute(
            "select attname, format_type(atttypid, null) from pg_attribute "
            "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
            [f"{PUBLISHED}.{name}"],
        ).fetchall()
    )
    wanted = {field.name: _arrow(field.dataType.simpleString()) for field in fields or ()}
    found = {column for column in types if column not in MOMENTS}
    if not found or (fields is not None and found != wanted.keys()):
        return None
    arrow = wanted or {column: _ARROW.get(kind, pa.string()) for column, kind in types.items()}
    return Table(
        f"{PUBLISHED}.{name}",
        tuple(Column(column, types[column], _expression(column, kind), kind) for column, kind in arrow.items()),
    )


_ARROW = {"timestamp with time zone": pa.timestamp("us", tz="UTC")}


def _arrow(spark_type: str) -> pa.DataType:
    if spark_type.startswith("decimal"):
        precision, scale = spark_type.removeprefix("decimal(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    return {
        "bigint": pa.int64(),
        "int": pa.int32(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }.get(spark_type, pa.string())


def _expression(name: str, arrow_type: pa.DataType) -> sql.Composable:
    column = sql.Identifier(name)
    if pa.types.is_decimal(arrow_type):
        return sql.SQL("trim_scale({})").format(column)
    if pa.types.is_boolean(arrow_type):
        return sql.SQL("{}::integer").format(column)
    return sql.SQL("{}::text").format(column) if pa.types.is_string(arrow_type) else column


def _export(connection: Connection, table: Table, folder: Path) -> int:
    """Makes a folder of a relation's rows as Parquet; returns how many."""
    # A comparison that was killed may have left more files than this one writes.
    shutil.rmtree(folder, ignore_errors=True)
    write_file(table.schema.empty_table(), folder / "none.parquet")
    rows = 0
    query = sql.SQL("copy ({}) to stdout (format csv)").format(table.query(sql.SQL("true")))
    with connection.cursor().copy(query) as copy:
        for number, block in enumerate(blocks(copy)):
            part = decode(block, table)
            write_file(part, folder / f"part-{number:05}.parquet")
            rows += part.num_rows
    return rows
