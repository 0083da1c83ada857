"""A refresh on Spark leaves what one on PostgreSQL would; where it fails, readers keep what they had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flows import history
from flows.building.project import Built
from flows.errors import Blocked, BuildFailed
from flows.nodes import NodeEvent, Watch, ignore
from flows.reporting.report import read_report
from flows.spark.build import build
from flows.spark.manifest import Manifest
from flows.spark.session import spark_session
from flows.steps import Run, Step, run_refresh
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from tests.conftest import NAME, Database, Server
from tests.messy_orders import write_messy_orders
from tests.snapshot import snapshot
from tests.spark import SMALL, skip_without_spark
from tests.storefront import add_order


@pytest.fixture(scope="module")
def traded(
    server: Server,
    migrated_template: str,
    builds_models: None,  # noqa: ARG001
) -> Iterator[Database]:
    """Messy orders that PostgreSQL has published."""
    database = server.create(NAME, template=migrated_template)
    with database.connect() as connection:
        write_messy_orders(connection, 1000)
    run_refresh(database.settings)
    yield database
    server.drop(database.name)


@pytest.fixture
def on_spark(traded: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    skip_without_spark()
    # These need pyarrow, which is not installed everywhere.
    from flows.spark import compare, rebuild

    for module in (compare, rebuild):
        # Settings of Spark's for few rows.
        monkeypatch.setattr(module, "spark_session", partial(spark_session, more=SMALL))
        # The data tests on Spark are those of the messy orders, too.
        monkeypatch.setattr(module, "build", _without_data_tests)
    changes = {"engine": "spark", "spark_folder": tmp_path / "spark", "spark_master": "local[2]", "spark_memory": "1g"}
    return traded.settings.model_copy(update=changes)


def _without_data_tests(*arguments: Any, watch: Watch = ignore) -> Built:
    return build(*arguments, "--resource-type", "model", watch=watch)


def change(connection: Connection, number: int = 200) -> None:
    connection.execute(
        "update shop_orders set order_status = 'completed', payment_status = 'completed', "
        "total_price = case when random() < 0.5 then 3.25 else total_price end "
        "where id in (select id from shop_orders order by random() limit %s)",
        [number],
    )


def test_a_refresh_on_spark_publishes_what_postgresql_would_and_postgresql_goes_on_from_there(
    traded: Database, on_spark: Settings, tmp_path: Path
) -> None:
    with traded.connect() as connection:
        (shop,) = connection.execute("select id from user_shops where shop_slug = 'shop-1'").fetchone() or (None,)
        change(connection)
        late: list[UUID] = []
        moments: list[object] = []

        def perform(step: Step, run: Run) -> None:
            step(run)
            if step.__name__ == "extract_rows":
                # Committed after the moment that Spark computes.
                late.append(add_order(connection, shop, total="77.00"))
                manifest = Manifest.read(tmp_path / "spark" / "extract")
                assert manifest
                moments.append(manifest.as_of)

        guards = _guards(connection)
        done = run_refresh(on_spark, perform=perform)
        assert (done.mode, done.reason) == ("rebuild", "Spark computes everything")
        assert [done.as_of] == moments
        assert _guards(connection) == guards
        report = read_report(connection, done.refresh_id)
        assert {"extract_rows", "build_on_spark", "load_marts", "publish"} <= {step.name for step in report.steps}
        assert not connection.execute("select 1 from analytics.orders where order_id = any(%s)", [late]).fetchall()

        # By increments, on what Spark has left.
        change(connection)
        refreshed = run_refresh(traded.settings)
        assert refreshed.mode == "refresh"
        assert connection.execute("select 1 from analytics.orders where order_id = any(%s)", [late]).fetchall()
        after = snapshot(connection)
        run_refresh(traded.settings, mode="rebuild")
        assert snapshot(connection) == after

        # Nothing is to do, so Spark does nothing.
        assert run_refresh(on_spark).mode == "refresh"


def _guards(connection: Connection) -> list[tuple[object, ...]]:
    """Row-level security, policies and rights of what is published."""
    return connection.execute(
        "select class.oid, relname, relrowsecurity, relforcerowsecurity, relacl::text, "
        "array(select polname::text from pg_policy where polrelid = class.oid) from pg_class as class "
        "where relnamespace::regnamespace::text in ('analytics', 'dashboard') and relkind in ('r', 'v') order by 1"
    ).fetchall()


def test_a_comparison_says_how_much_waits_for_a_refresh_and_leaves_nothing_behind(
    traded: Database, on_spark: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.spark import compare
    from flows.spark.compare import computed_by_spark

    def build_some(*arguments: Any) -> Built:
        return build(*arguments, "--resource-type", "model", "--select", "+shop_days", "shops", "time_spine")

    # The other relations are not there, which is a difference.
    monkeypatch.setattr(compare, "build", build_some)
    with traded.connect() as connection:
        change(connection)
        # As a refresh that fails leaves them.
        connection.execute("select regulars.claim_changes()")
        with computed_by_spark(on_spark, traded.conninfo) as (waiting, compared):
            differing = {each.name for each in compared if each.differences}
        assert waiting >= 200
        assert {"orders", "shop_days"} <= differing
        assert {"time_spine", "shops"}.isdisjoint(differing)
    assert on_spark.spark_folder
    assert [path.name for path in on_spark.spark_folder.iterdir() if not path.name.startswith(".")] == ["extract"]


def test_a_comparison_names_who_holds_a_lock_that_it_needs(traded: Database, on_spark: Settings) -> None:
    from flows.spark.compare import computed_by_spark

    with traded.connect() as holder, holder.transaction():
        holder.execute("lock table shop_profits in access exclusive mode")
        with (
            pytest.raises(Blocked, match=rf"pid {holder.info.backend_pid}\b"),
            computed_by_spark(on_spark, traded.conninfo, patience=0.2),
        ):
            pass


def test_java_that_is_killed_while_it_computes_is_said_and_the_next_refresh_is_right(
    traded: Database, on_spark: Settings
) -> None:
    from pyspark import SparkContext

    def kill(event: NodeEvent) -> None:
        if event.name == "stg_orders" and event.seconds is not None:
            os.kill(SparkContext._gateway.proc.pid, signal.SIGKILL)

    with traded.connect() as connection:
        before = snapshot(connection)
        change(connection)
        with pytest.raises(BuildFailed, match=r"Spark's Java process ended with -9.*nothing was published"):
            run_refresh(on_spark, watch=kill)
        assert snapshot(connection) == before
        failed = history.last(connection)
        assert failed
        assert (failed.status, failed.step) == ("failed", "build_on_spark")
        refreshed = run_refresh(traded.settings)
        assert (refreshed.mode, refreshed.reason) == ("rebuild", "a rebuild before it did not end well")
        assert snapshot(connection) != before


def test_a_machine_without_java_is_told_in_one_line(traded: Database, tmp_path: Path) -> None:
    with traded.connect() as connection:
        change(connection)
        done = _command(traded, "refresh", JAVA_HOME=str(tmp_path), REGULARS_ENGINE="spark")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "apt-get install openjdk-17-jre-headless" in " ".join(done.stderr.split())
        run_refresh(traded.settings)


def test_spark_computes_all_shops_or_none(traded: Database) -> None:
    done = _command(traded, "rebuild", "--shop", "shop-1", "--engine", "spark")
    assert done.returncode == 1
    assert "leave out --shop or --engine" in " ".join(done.stderr.split())


def _command(database: Database, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "regulars", *arguments], capture_output=True, text=True, check=False, timeout=300,
        env=os.environ | {"DATABASE_URL": database.conninfo, "REGULARS_HOME": str(database.settings.home)} | variables,
    )  # fmt: skip
