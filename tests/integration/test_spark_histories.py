"""After a random history, a rebuild on Spark makes of the raw rows what refreshes on PostgreSQL have left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from flows.spark.build import build
from flows.steps import run_refresh
from tests.conftest import NAME, Server
from tests.histories import NIGHTS, History, apply, begin
from tests.spark import small_spark

pytest.importorskip("pyarrow", reason="The extra spark is not installed: make spark")

from flows.spark.compare import compare, export_record
from flows.spark.extract import extract

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with small_spark(tmp_path_factory.mktemp("spark") / "warehouse") as spark:
        yield spark


def test_spark_rebuilds_what_refreshes_have_left(
    server: Server, built_template: str, spark: SparkSession, tmp_path: Path
) -> None:
    @settings(
        # `pytest --hypothesis-profile long` draws many; each history is printed, from which it can be run again.
        max_examples=50 if settings.get_current_profile_name() == "long" else 2,
        deadline=None,
        phases=[Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(nights=NIGHTS)
    def property_holds(nights: History) -> None:
        print(f"{nights!r}\n")
        database = server.create(NAME, template=built_template)
        with database.connect() as connection:
            begin(connection)
            for committed, held in nights:
                for step in (*committed, *held):
                    apply(connection, step)
                assert run_refresh(database.settings).mode == "refresh"
            extracted = extract(database.conninfo, tmp_path / "extract")
            export_record(connection, spark, tmp_path / "record")
            # Its data tests are those of the messy orders.
            build(database.settings, spark, extracted.folder, "--resource-type", "model")
            compared = list(compare(connection, spark, tmp_path / "compared", as_of=extracted.as_of))
            assert {each.name: each.differences for each in compared if each.differences} == {}
            assert sum(each.rows for each in compared if each.name == "orders") > 0

    property_holds()
    server.drop(NAME)
