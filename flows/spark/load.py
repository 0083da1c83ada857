"""Copies what Spark computed into PostgreSQL's working tables, which are then as after a rebuild there.

dbt makes each mart's table there without rows, with its columns, indexes, offset and empty delta; the rows come from
Spark's Parquet files. Then dbt builds and tests what is small or reads what is published.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from psycopg import sql

from flows.building import project
from flows.building.project import Built
from flows.building.shop_rebuild import SEGMENT_RECORD
from flows.errors import LoadFailed
from flows.lock import BUILDING
from flows.nodes import Watch, ignore
from flows.shapes import WORKING, Shape, shapes
from flows.spark.csv import encode
from flows.spark.parquet import Damaged, open_file
from flows.spark.transactions import set_for_long
from ingest.storage.connections import Connection, connect
from ingest.storage.settings import Settings

# Rows that are held at once, for each connection.
_BATCH = 50_000

# The record of what readers were shown is computed from what PostgreSQL publishes.
_MARTS = ("--select", "path:models/staging", "path:models/marts", "--exclude", SEGMENT_RECORD)
_REST = ("--select", SEGMENT_RECORD, "path:models/dashboard", "path:models/checks", "path:models/current")


def load(
    settings: Settings, conninfo: str, warehouse: Path, rows: dict[str, int], *, patience: float, watch: Watch = ignore
) -> Built:
    """Fills the working tables from the warehouse's files, `rows` of each mart, and builds their downstream models.

    Readers see nothing of it. If it is killed, the next rebuild starts over. Raises BuildFailed, and LoadFailed, which
    names the file, if one is damaged or a row is missing.
    """
    project.build(
        settings, conninfo, "--full-refresh", "--vars", "is_loaded: true", "--resource-type", "model", *_MARTS,
        patience=patience, target="loaded",
    )  # fmt: skip
    with connect(conninfo, application=BUILDING) as connection:
        marts = [
            shape
            for shape in shapes(connection, WORKING).values()
            if shape.kind == "r" and shape.name in rows and shape.name != SEGMENT_RECORD
        ]
    # The largest first, so that no connection ends long after the others.
    marts.sort(key=lambda shape: -rows[shape.name])
    with ThreadPoolExecutor(settings.threads) as pool:
        for _ in pool.map(lambda mart: _fill(conninfo, mart, warehouse, rows, patience=patience), marts):
            pass
    return project.build(settings, conninfo, "--full-refresh", *_REST, patience=patience, watch=watch)


def _fill(conninfo: str, mart: Shape, warehouse: Path, rows: dict[str, int], *, patience: float) -> None:
    """Fills a table in one transaction. Its indexes are created after its rows."""
    with connect(conninfo, application=BUILDING) as connection, connection.transaction():
        set_for_long(connection, patience=patience)
        indexes = _indexes(connection, mart)
        for name, _ in indexes:
            connection.execute(sql.SQL("drop index {}").format(sql.Identifier(WORKING, name)))
        copied = _copy(connection, mart, warehouse)
        if copied != rows[mart.name]:
            raise LoadFailed(
                f"Of {mart.name}, {copied:,} rows were found in {warehouse} where Spark made {rows[mart.name]:,}; "
                "nothing was published. Run `regulars rebuild --engine spark` again."
            )
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute(sql.SQL("analyze {}").format(mart.identifier))


def _indexes(connection: Connection, mart: Shape) -> list[tuple[str, str]]:
    """Name and definition of each."""
    return connection.execute(
        "select index_class.relname, pg_get_indexdef(index_class.oid) from pg_index as index "
        "inner join pg_class as index_class on index.indexrelid = index_class.oid where index.indrelid = %s::regclass",
        [mart.identifier.as_string()],
    ).fetchall()


def _copy(connection: Connection, mart: Shape, warehouse: Path) -> int:
    names = [column.name for column in mart.columns]
    statement = sql.SQL("copy {} ({}) from stdin (format csv)").format(
        mart.identifier, sql.SQL(", ").join(map(sql.Identifier, names))
    )
    copied = 0
    with connection.cursor().copy(statement) as copy:
        for batch in _batches(warehouse / f"{WORKING}.db" / mart.name, names):
            copy.write(encode(batch))
            copied += batch.num_rows
    return copied


def _batches(folder: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    for path in sorted(folder.glob("**/*.parquet")):
        try:
            with open_file(path) as file:
                yield from file.iter_batches(_BATCH, columns=names)
        except Damaged:
            raise LoadFailed(
                f"{path} is damaged; nothing was published. Run `regulars rebuild --engine spark` again."
            ) from None
