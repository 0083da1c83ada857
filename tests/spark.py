"""Spark in tests: one thread, and as little overhead as it can have; skipped where it is not installed."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

import pytest

from flows.errors import SparkMissing
from flows.spark.needs import require_spark
from flows.spark.session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Most of a small build is Java that is compiled for a few rows.
SMALL = {
    "spark.driver.defaultJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=256m",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "2",
}


@contextmanager
def small_spark(warehouse: Path, *, more: Mapping[str, str] = MappingProxyType({})) -> Iterator["SparkSession"]:
    """A session for few rows. Skips the test where Spark is missing, and in CI fails it."""
    try:
        with spark_session(warehouse, master="local[2]", memory="1g", more=SMALL | dict(more)) as spark:
            yield spark
    except SparkMissing as missing:
        _skip(missing)


def skip_without_spark() -> None:
    """The same, for what starts Spark by itself."""
    try:
        require_spark()
    except SparkMissing as missing:
        _skip(missing)


def _skip(missing: SparkMissing) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(str(missing))
    pytest.skip(str(missing))
