"""What is loaded from Spark's files stands as if PostgreSQL had computed it; here the files are made without Spark."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from psycopg import sql

from flows.errors import LoadFailed
from flows.shapes import WORKING, shapes
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import NAME, Database, Server
from tests.owners import two_owners
from tests.snapshot import snapshot
from tests.spark import skip_without_spark
from tests.waiting import wait_until_alone

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


@pytest.fixture(scope="module")
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


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), r"part-1\.parquet is damaged; nothing was published"),
        (
            lambda path: path.unlink(),
            r"Of orders, \d+ rows were found in .* where Spark made \d+; nothing was published",
        ),
    ],
    ids=["damaged", "gone"],
)
def test_a_file_that_is_damaged_or_gone_is_named_and_nothing_is_published(
    traded: Database, tmp_path: Path, harm: Callable[[Path], object], said: str
) -> None:
    with traded.connect() as connection:
        rows = write_warehouse(connection, tmp_path)
        harm(tmp_path / "building.db" / "orders" / "part-1.parquet")
        published = snapshot(connection)
        with pytest.raises(LoadFailed, match=said):
            load(traded.settings, traded.conninfo, tmp_path, rows, patience=10)
        assert snapshot(connection) == published
        run_refresh(traded.settings, mode="rebuild")


# What Spark computes lies ready, so that what is killed comes soon.
_READY = """
import json, shutil, sys
from flows.building.project import Built
from flows.spark.rebuild import SparkRebuild
from flows.steps import run_refresh
from ingest.storage.settings import Settings

def build(self, *, watch):
    shutil.copytree(sys.argv[1], self.warehouse, dirs_exist_ok=True)
    self._rows = json.loads(sys.argv[2])
    return Built({}, ())

SparkRebuild.build = build
run_refresh(Settings.from_environment())
"""


def test_killed_while_it_loads_or_publishes_readers_keep_what_they_had_and_the_next_refresh_is_right(
    traded: Database, tmp_path: Path
) -> None:
    skip_without_spark()
    seed = Random().randrange(10**6)
    print(f"Seed {seed}.")
    chance = Random(seed)
    with traded.connect() as connection:
        rows = write_warehouse(connection, tmp_path / "ready")
        right = snapshot(connection)
        # Something to put right for readers, and something to do.
        connection.execute("update analytics.orders set net_amount = net_amount + 1")
        connection.execute("update shop_orders set updated_at = updated_at")
        shown = snapshot(connection)
        for step, longest in (("extract_rows", 1.0), ("load_marts", 4.0), ("publish", 0.2)):
            child = subprocess.Popen(
                [sys.executable, "-c", _READY, str(tmp_path / "ready"), json.dumps(rows)],
                env=os.environ
                | {
                    "DATABASE_URL": traded.conninfo, "REGULARS_HOME": str(traded.settings.home),
                    "REGULARS_ENGINE": "spark", "REGULARS_SPARK_FOLDER": str(tmp_path / "spark"),
                },
            )  # fmt: skip
            while (
                child.poll() is None
                and not connection.execute(
                    "select 1 from regulars.refreshes where process_id = %s and step = %s", [child.pid, step]
                ).fetchall()
            ):
                time.sleep(0.01)
            time.sleep(longest * chance.random())
            child.kill()
            # It was killed, or had just ended; it didn't fail before.
            assert child.wait() in (-signal.SIGKILL, 0), step
            # What it had told PostgreSQL to do may still be done.
            wait_until_alone(connection)
            (status,) = connection.execute(
                "select status from regulars.refreshes where process_id = %s", [child.pid]
            ).fetchone() or ("",)
            assert snapshot(connection) == (right if status == "succeeded" else shown), (seed, step)
        run_refresh(traded.settings)
        assert snapshot(connection) == right


def _plain(found: dict[str, object]) -> dict[str, str]:
    """Without the indexes' names, which a rebuild makes anew."""
    return {
        name: repr((shape.kind, shape.columns, sorted(repr(held.index) for held in shape.indexes)))  # type: ignore[attr-defined]
        for name, shape in found.items()
    }
