"""The models on Spark, on shops of which everything is wrong: each cell is what PostgreSQL makes of the same rows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.building.project import Built, relations
from flows.errors import BuildFailed
from flows.shapes import WORKING
from flows.spark.build import build
from flows.spark.session import MODELS_NEED
from flows.spark.sources import java_regions, register
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from ingest.storage.time_zones import standard_zones
from tests.conftest import NAME, Database, Server
from tests.messy_orders import write_messy_orders
from tests.spark import SMALL, small_spark

pytest.importorskip("pyarrow", reason="The extra spark is not installed: make spark")

from flows.spark.compare import Compared, compare, export_record
from flows.spark.extract import extract

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ORDERS = 3000

# What the types of the contracts are on Spark.
_TYPES = {
    "uuid": "string",
    "text": "string",
    "bigint": "bigint",
    "integer": "int",
    "boolean": "boolean",
    "date": "date",
    "timestamp with time zone": "timestamp",
}


# sqlfluff 4.4 doesn't know Spark's `lateral` subqueries and functions, nor `listagg … within group`.
_NOT_PARSED = {"forecast_accuracy", "links", "reconciliation"}


@dataclass(frozen=True, slots=True)
class Both:
    """The same rows computed by both: published by PostgreSQL, and as tables of a Spark session."""

    database: Database
    connection: Connection
    spark: SparkSession
    extract: Path
    as_of: datetime
    built: Built
    warnings: list[str]
    folder: Path

    def names(self) -> set[str]:
        return {relation.name for relation in relations() if relation.schema in ("staging", WORKING)}

    def compared(self, *only: str) -> dict[str, Compared]:
        found = compare(self.connection, self.spark, self.folder / "compared", as_of=self.as_of, only=only)
        return {each.name: each for each in found}


@pytest.fixture(scope="module")
def both(
    server: Server,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
    builds_models: None,  # noqa: ARG001
) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("spark")
    with small_spark(folder / "warehouse") as spark:
        database = server.create(NAME, template=migrated_template)
        with database.connect() as connection:
            write_messy_orders(connection, ORDERS)
            done = run_refresh(database.settings)
            extracted = extract(database.conninfo, folder / "extract")
            export_record(connection, spark, folder / "record")
            built = build(database.settings, spark, extracted.folder)
            yield Both(database, connection, spark, extracted.folder, extracted.as_of, built, done.warnings, folder)
        server.drop(NAME)


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def test_every_cell_is_the_one_that_postgresql_has(both: Both) -> None:
    compared = both.compared()
    assert compared.keys() == {relation.name for relation in relations() if relation.schema == WORKING}
    assert {name: each.differences for name, each in compared.items() if each.differences} == {}
    # The time spine has no cell of a shop.
    assert sum(each.cells for name, each in compared.items() if name != "time_spine") > 60 * ORDERS


def test_dbt_leaves_the_session_the_settings_that_the_models_count_on(both: Both) -> None:
    wanted = MODELS_NEED | SMALL
    assert {name: both.spark.conf.get(name) for name in MODELS_NEED} == {name: wanted[name] for name in MODELS_NEED}


def test_what_was_compared_was_worth_it(both: Both) -> None:
    """The rows have what engines could disagree about."""
    for condition in (
        "analytics.shops where time_zone = '+05:30'",
        "analytics.shops where time_zone = 'UTC'",
        "analytics.orders where order_date = '1970-01-01'",
        "analytics.orders where ordered_at < '0002-01-01'",
        "analytics.orders where order_status = 'hidden'",
        "analytics.visits where visit_date = '1970-01-01'",
        "analytics.visits where link = 'poster'",
        "analytics.links where former_slugs is not null",
        "analytics.rfm_cuts where frequency_3 is not null",
        "analytics.customers where median_gap_days <> floor(median_gap_days)",
        "analytics.refunds",
        "analytics.forecast_accuracy where purchases_error is not null",
        "analytics.customer_segments where segment = 'hidden'",
    ):
        (rows,) = both.connection.execute(f"select count(*) from {condition}").fetchone() or (0,)  # type: ignore[arg-type]
        assert rows > 0, condition


def test_types_are_those_of_the_contracts(both: Both) -> None:
    found = both.connection.execute(
        "select class.relname, attname, format_type(atttypid, null) from pg_attribute "
        "inner join pg_class as class on attrelid = class.oid "
        "where relnamespace = 'analytics'::regnamespace and relkind in ('r', 'v') and attnum > 0 and not attisdropped"
    )
    wrong = []
    for relation, column, data_type in found:
        on_spark = dict(both.spark.table(f"building.{relation}").dtypes)[column]
        if on_spark != _TYPES.get(data_type) and not (data_type == "numeric" and on_spark.startswith("decimal(38,")):
            wrong.append(f"{relation}.{column}: {data_type}, on Spark {on_spark}")
    assert wrong == []


def test_the_data_tests_ran_and_warn_of_the_same(both: Both) -> None:
    assert len([node for node in both.built.seconds if node.startswith("test.")]) > 80
    assert all(any(name in warning for warning in both.warnings) for name in both.built.warnings)
    assert len(both.built.warnings) == len(both.warnings)


def test_sqlfluff_finds_nothing_in_what_spark_runs(both: Both) -> None:
    """But for the layout, which is that of templates, and for columns that are called as a keyword is."""
    compiled = both.database.settings.home / "dbt" / "spark" / "compiled" / "regulars" / "models"
    found = [path for path in compiled.rglob("*.sql") if path.stem in both.names()]
    assert len(found) > 40
    linted = subprocess.run(
        [
            *(sys.executable, "-m", "sqlfluff", "lint", "--disable-progress-bar", "--processes", "2"),
            *("--dialect", "sparksql", "--templater", "raw", "--exclude-rules", "ST06,RF04,layout"),
            *(path for path in found if path.stem not in _NOT_PARSED),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert linted.returncode == 0, linted.stdout


def test_a_cell_that_differs_is_told_of_with_its_key_and_both_values(both: Both) -> None:
    (customer, spent) = both.connection.execute(
        "update analytics.customer_segments set total_spent = total_spent + 0.000000000001 where ctid = "
        "(select ctid from analytics.customer_segments where recency_score = 3 limit 1) "
        "returning shop_customer_id, total_spent"
    ).fetchone() or ("", Decimal(0))
    for statement in (
        "update analytics.links set former_slugs = '' where former_slugs is null",
        "insert into analytics.purchase_gaps select shop_id, 9999, 1 from analytics.shops limit 1",
        "delete from analytics.network_switches where switches = 1",
    ):
        assert both.connection.execute(statement).rowcount > 0  # type: ignore[arg-type]
    compared = both.compared("customer_segments", "links", "purchase_gaps", "network_switches", "orders")
    found = {name: each.differences for name, each in compared.items()}
    assert found["orders"] == ()
    (told,) = found["customer_segments"]
    assert str(customer) in told
    assert f"total_spent is {_plain(spent)} and on Spark {_plain(spent - Decimal('0.000000000001'))}" in told
    assert "former_slugs is  and on Spark null" in found["links"][0]
    assert "only in PostgreSQL: shop_id" in found["purchase_gaps"][0]
    assert "only in Spark: shop_id" in found["network_switches"][0]


def test_what_a_killed_comparison_left_is_no_part_of_the_next_one(both: Both) -> None:
    files = both.folder / "record" / "customer_segments"
    shutil.copy(files / "part-00000.parquet", files / "part-00009.parquet")
    export_record(both.connection, both.spark, both.folder / "record")
    expected = both.connection.execute("select count(*) from analytics.customer_segments").fetchone()
    assert (both.spark.table("analytics.customer_segments").count(),) == expected


def test_a_table_of_somebody_elses_is_not_compared_and_needs_no_key(both: Both) -> None:
    both.connection.execute("create table analytics.notes (note text)")
    try:
        assert both.compared("orders", "notes").keys() == {"orders"}
    finally:
        both.connection.execute("drop table analytics.notes")


def test_a_damaged_file_stops_the_build_and_is_named(both: Both, tmp_path: Path) -> None:
    copied = shutil.copytree(both.extract, tmp_path / "extract")
    damaged = max(copied.glob("public.shop_orders/**/*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-200])
    with pytest.raises(BuildFailed, match=r"orders: .*") as failed:
        build(both.database.settings, both.spark, copied, "--select", "stg_shops", "shops", "stg_orders", "orders")
    assert damaged.name in str(failed.value)


def test_every_time_zone_is_the_same_on_both(both: Both) -> None:
    """In moments that no release of the IANA's has changed, with and without daylight saving time."""
    moments = [f"{year}-{month}-15 12:00:00" for year in (2005, 2015) for month in ("01", "07")]
    names = [*java_regions(both.spark), "+05:30", "-3", "X3", "<A+1>4:45:30", "africa/LAGOS"]
    known = both.connection.execute(
        "select name from unnest(%s::text[]) as name where regulars.is_time_zone(name)", [names]
    ).fetchall()
    zones = standard_zones((name for (name,) in known), java_regions(both.spark))
    assert len(zones) == len(known) > 400
    on_postgres = both.connection.execute(
        "select name, moment, to_char((moment || '+00')::timestamptz at time zone name, 'YYYY-MM-DD HH24:MI:SS') "
        "from unnest(%s::text[]) as name, unnest(%s::text[]) as moment",
        [list(zones), moments],
    ).fetchall()
    rows = ", ".join(f"('{name}', '{zone}', '{moment}')" for name, zone in zones.items() for moment in moments)
    on_spark = both.spark.sql(
        "select name, moment, cast(from_utc_timestamp(cast(moment as timestamp), zone) as string) as local "
        f"from values {rows} as zones (name, zone, moment)"
    ).collect()
    assert set(on_postgres) - {tuple(row) for row in on_spark} == set()


def test_a_time_zone_that_java_does_not_know_is_named(both: Both, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert both.connection.execute("select regulars.is_time_zone('WAST')").fetchone() == (True,)
    copied = shutil.copytree(both.extract, tmp_path / "extract")
    for path in (copied / "public.user_shops").glob("*.parquet"):
        shops = pq.read_table(path)
        place = shops.column_names.index("timezone")
        pq.write_table(shops.set_column(place, "timezone", pa.array(["WAST"] * len(shops))), path)
    with pytest.raises(BuildFailed, match=r"The time zone WAST is known to PostgreSQL alone.*Africa/Lagos"):
        register(both.spark, copied)


def test_a_folder_without_a_whole_extract_says_what_to_do(both: Both, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"holds no whole extract.*Extract it again"):
        build(both.database.settings, both.spark, tmp_path)
