"""Building the models on Spark, from an extract: staging, marts, checks, dashboard and their data tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from flows.building.project import Built, judge, run_dbt
from flows.nodes import Watch, ignore
from flows.shapes import WORKING
from flows.spark.adapter import keep_settings
from flows.spark.sources import register
from ingest.storage.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def build(settings: Settings, spark: SparkSession, extract: Path, *arguments: str, watch: Watch = ignore) -> Built:
    """Computes everything from the extract in a folder, as tables of the session's warehouse.

    They are as of the extract's moment, which stands in for the clock. `arguments`: further ones of `dbt build`.
    `watch` is called for each node that begins or ends. Raises BuildFailed, which names each model and test that
    failed.
    """
    register(spark, extract)
    # Files of a killed build would be in the way of the tables.
    shutil.rmtree(warehouse_of(spark) / f"{WORKING}.db", ignore_errors=True)
    spark.sql(f"drop schema if exists {WORKING} cascade")
    spark.sql(f"create schema {WORKING}")
    keep_settings()
    results = run_dbt(
        settings,
        ["build", "--target", "spark", "--full-refresh", "--exclude-resource-type", "unit_test", *arguments],
        variables={"REGULARS_DBT_THREADS": str(settings.threads)},
        target="spark",
        watch=watch,
    )
    return judge(results)


def warehouse_of(spark: SparkSession) -> Path:
    """The folder of the session's tables."""
    return Path(spark.conf.get("spark.sql.warehouse.dir").removeprefix("file:"))
