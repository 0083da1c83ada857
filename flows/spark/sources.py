"""What the models read on Spark: the extract's files as tables, and PostgreSQL's functions that they call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flows.errors import BuildFailed
from flows.spark.manifest import Manifest
from flows.spark.session import address
from ingest.storage.time_zones import standard_zones

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# The schemas of sources and models. `analytics` has the published relations that are in the extract.
_SCHEMAS = ("public", "regulars", "analytics", "staging", "building")


def register(spark: SparkSession, extract: Path) -> datetime:
    """Registers the extract's tables in the session; returns their moment (UTC).

    Raises BuildFailed if the folder holds no complete extract, or Java doesn't know a shop's time zone.
    """
    if (manifest := Manifest.read(extract)) is None:
        raise BuildFailed(f"{extract} holds no whole extract; nothing was published. Extract it again.")
    as_of = manifest.as_of.astimezone(UTC)
    for schema in _SCHEMAS:
        spark.sql(f"create schema if not exists {schema}")
    for table in manifest.tables:
        files = extract / table
        if not files.is_dir():
            raise BuildFailed(f"The extract in {extract} has no {table}; nothing was published. Extract it again.")
        register_files(spark, table, files)
    # The extract leaves out zones that PostgreSQL doesn't read.
    names = [row[0] for row in spark.sql("select distinct timezone from public.user_shops").collect() if row[0]]
    zones = standard_zones(names, java_regions(spark))
    if unknown := sorted(set(names) - zones.keys()):
        raise BuildFailed(
            f"The time zone {', '.join(unknown)} is known to PostgreSQL alone; nothing was published. Give the shops "
            "that have it one such as Africa/Lagos."
        )
    for function in _functions(as_of, zones):
        spark.sql(f"create or replace function regulars.{function}")
    return as_of


def register_files(spark: SparkSession, name: str, folder: Path) -> None:
    """Makes a folder's Parquet files a relation."""
    quoted = address(folder).replace("`", "``")
    spark.sql(f"create or replace view {name} as select * from parquet.`{quoted}`")  # noqa: S608


def java_regions(spark: SparkSession) -> list[str]:
    """The zones of the IANA that this session's Java knows; a new one comes with a new Java."""
    java = spark._jvm
    return list(java.java.lang.String.join(" ", java.java.time.ZoneId.getAvailableZoneIds()).split())


def _functions(as_of: datetime, zones: Mapping[str, str]) -> list[str]:
    """PostgreSQL's functions that models call, and those of the extract's moment and time zones."""
    known = ", ".join(_text(name) for name in zones)
    other = ", ".join(f"{_text(name)}, {_text(zone)}" for name, zone in zones.items() if name != zone)
    java_name = f"coalesce(map({other})[time_zone], time_zone)" if other else "time_zone"
    return [
        f"is_time_zone(name string) returns boolean return name in ({known or 'null'})",
        "local_date(moment timestamp, time_zone string) returns date "
        f"return cast(from_utc_timestamp(moment, {java_name}) as date)",
        f"as_of() returns timestamp return timestamp '{as_of:%Y-%m-%d %H:%M:%S.%f}+00:00'",
        "today(time_zone string) returns date return regulars.local_date(regulars.as_of(), time_zone)",
    ]


def _text(value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"
