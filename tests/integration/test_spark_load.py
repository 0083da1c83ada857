"""What is loaded from Spark's files stands as if PostgreSQL had computed it; here the files are made without Spark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from flows.shapes import WORKING, shapes
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import NAME, Database, Server
from tests.owners import two_owners
from tests.snapshot import snapshot

pytest.importorskip("pyarrow", reason="The extra spark is not installed: make spark")

from flows.spark.columns import Table, column_of
from flows.spark.csv import decode
from flows.spark.load import load
from flows.spark.parquet import write_file


def write_warehouse(connection: Connection, warehouse: Path) -> dict[str, int]:
    """The working marts as Spark leaves them: a folder of files each. Returns how many rows each has."""
    rows = {}
    for name, shape in shapes(connection, WORKING).items():
        if shape.kind != "r":
            continue
        table = Table(f"{WORKING}.{name}", tuple(column_of(each.name, each.data_type) for each in shape.columns))
        with connection.cursor().copy(
            sql.SQL("copy ({}) to stdout (format csv)").format(table.query(sql.SQL("true")))
        ) as copy:
            text = b"".join(bytes(block) for block in copy)
        contents = decode(text, table) if text else table.schema.empty_table()
        for number in range(2):
            half = contents.slice(*([0, len(contents) // 2] if number == 0 else [len(contents) // 2]))
            write_file(half, warehouse / f"{WORKING}.db" / name / f"part-{number}.parquet")
        rows[name] = len(contents)
    return rows


@pytest.fixture
def traded(server: Server, built_template: str) -> Iterator[Database]:
    owners = two_owners(server, built_template)
    database = server.create(NAME, template=owners.template)
    run_refresh(database.settings)
    yield database
    server.drop(database.name)


def test_what_is_loaded_is_what_a_rebuild_leaves(traded: Database, tmp_path: Path) -> None:
    with traded.connect() as connection:
        rows = write_warehouse(connection, tmp_path)
        assert rows["orders"] > 0
        before, before_shapes = snapshot(connection, WORKING), shapes(connection, WORKING)
        published = snapshot(connection)
        connection.execute("delete from building.orders; update building.customers set total_spent = 0")
        load(traded.settings, traded.conninfo, tmp_path, rows, patience=10)
        assert snapshot(connection, WORKING) == before
        assert _plain(shapes(connection, WORKING)) == _plain(before_shapes)
        assert snapshot(connection) == published
        # The next refresh goes on from there, with sums that take what stands for the whole.
        connection.execute("update shop_orders set order_status = 'refunded' where random() < 0.3")
        refreshed = run_refresh(traded.settings)
        assert refreshed.mode == "refresh"
        after = snapshot(connection)
        assert after != published
        run_refresh(traded.settings, mode="rebuild")
        assert snapshot(connection) == after


def _plain(found: dict[str, object]) -> dict[str, str]:
    """Without the indexes' names, which a rebuild makes anew."""
    return {
        name: repr((shape.kind, shape.columns, sorted(repr(held.index) for held in shape.indexes)))  # type: ignore[attr-defined]
        for name, shape in found.items()
    }
