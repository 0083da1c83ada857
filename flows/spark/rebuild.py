"""A rebuild on Spark: extracts the raw rows of one moment, computes everything there, and loads the results."""

import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flows.building.project import Built, relations
from flows.lock import PATIENCE
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
    """One rebuild. Call its three steps in order; each says what it raises. It publishes nothing."""

    settings: Settings
    conninfo: str
    _rows: dict[str, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.settings.spark_folder or self.settings.home / "spark"

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse"

    def extract_rows(self, *, patience: float = PATIENCE) -> datetime:
        """Writes the raw rows to files; returns their moment (UTC). Raises what `extract` raises."""
        folder = self.folder / "extract"
        return extract(self.conninfo, folder, readers=self.settings.threads, patience=patience).as_of

    def build(self, *, watch: Watch) -> Built:
        """Computes and tests everything on Spark. Raises SparkMissing, BuildFailed and NotReconciled."""
        with spark_session(
            self.warehouse, master=self.settings.spark_master, memory=self.settings.spark_memory
        ) as spark:
            built = build(self.settings, spark, self.folder / "extract", watch=watch)
            self._look_at(spark)
        return built

    def _look_at(self, spark: "SparkSession") -> None:
        """Compares the results with the raw sums, and counts their rows."""
        if differences := [row.asDict() for row in spark.sql(_DIFFERENCES).collect()]:
            raise not_reconciled(differences)
        marts = [each.name for each in relations() if (each.schema, each.kind) == (WORKING, "r")]
        self._rows = {name: spark.table(f"{WORKING}.{name}").count() for name in marts}

    def load(self, *, patience: float, watch: Watch) -> Built:
        """Fills the working tables with the results. Raises LoadFailed and BuildFailed."""
        built = load(self.settings, self.conninfo, self.warehouse, self._rows, patience=patience, watch=watch)
        # It takes as much of the disk as the marts do.
        shutil.rmtree(self.warehouse, ignore_errors=True)
        return built
