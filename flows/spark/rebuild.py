"""A rebuild on Spark: the raw rows of one moment go there, and what it computes of them comes back."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flows.building.project import Built, relations
from flows.errors import BuildFailed
from flows.nodes import Watch
from flows.publishing.reconcile import not_reconciled
from flows.shapes import WORKING
from flows.spark.build import build
from flows.spark.extract import extract
from flows.spark.load import load
from flows.spark.session import spark_session
from ingest.storage.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_DIFFERENCES = """
    select cast(shop_id as string) as shop, * from building.reconciliation
    where not is_reconciled order by shop_id, mart limit 20
"""


@dataclass(slots=True)
class SparkRebuild:
    """One rebuild; its three steps are called in order. What each raises is said there; nothing is published here."""

    settings: Settings
    conninfo: str
    _rows: dict[str, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.settings.spark_folder or self.settings.home / "spark"

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse"

    def extract_rows(self) -> datetime:
        """Writes the raw rows to files; returns the moment that they are of (UTC). Raises ExtractFailed."""
        return extract(self.conninfo, self.folder / "extract", readers=self.settings.threads).as_of

    def build(self, *, watch: Watch) -> Built:
        """Computes and tests everything on Spark. Raises BuildFailed and NotReconciled."""
        from pyspark.errors import PySparkException

        with (
            _said_if_java_ends(self.settings),
            spark_session(
                self.warehouse, master=self.settings.spark_master, memory=self.settings.spark_memory
            ) as spark,
        ):
            built = build(self.settings, spark, self.folder / "extract", watch=watch)
            try:
                self._look_at(spark)
            except PySparkException as error:
                # It can tell what is wrong only while Java runs.
                raise BuildFailed(f"Spark stopped; nothing was published. {str(error).splitlines()[0]}") from None
        return built

    def _look_at(self, spark: "SparkSession") -> None:
        """Compares what was made with the raw sums, and counts it."""
        if differences := [row.asDict() for row in spark.sql(_DIFFERENCES).collect()]:
            raise not_reconciled(differences)
        marts = [each.name for each in relations() if (each.schema, each.kind) == (WORKING, "r")]
        self._rows = {name: spark.table(f"{WORKING}.{name}").count() for name in marts}

    def load(self, *, patience: float, watch: Watch) -> Built:
        """Fills the working tables with it. Raises LoadFailed and BuildFailed."""
        built = load(self.settings, self.conninfo, self.warehouse, self._rows, patience=patience, watch=watch)
        # It takes as much of the disk as the marts do.
        shutil.rmtree(self.warehouse, ignore_errors=True)
        return built


@contextmanager
def _said_if_java_ends(settings: Settings) -> Iterator[None]:
    """Whatever is raised because Spark's Java process is gone becomes BuildFailed, which says so."""
    try:
        yield
    except Exception:
        # Of many kinds, from Spark, dbt or the socket between. Where Java is still there it goes on as it is.
        from pyspark import SparkContext
        from pyspark.sql import SparkSession

        gateway = SparkContext._gateway
        if gateway is None or gateway.proc.poll() is None:
            raise
        with suppress(OSError):
            gateway.proc.stdin.close()
        # So that the next session in this process starts another.
        SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
        SparkSession._instantiatedSession = None
        raise BuildFailed(
            f"Spark's Java process ended with {gateway.proc.returncode} while it computed; nothing was published. Run "
            f"it again; if the machine ran out of memory, change REGULARS_SPARK_MEMORY, now {settings.spark_memory}."
        ) from None
