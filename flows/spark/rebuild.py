"""A rebuild on Spark: the raw rows of one moment go there, and what it computes of them comes back."""

import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from flows.building.project import Built
from flows.nodes import Watch
from flows.publishing.reconcile import not_reconciled
from flows.spark.build import build
from flows.spark.extract import extract
from flows.spark.load import load
from flows.spark.session import spark_session
from ingest.storage.settings import Settings

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
        with spark_session(
            self.warehouse, master=self.settings.spark_master, memory=self.settings.spark_memory
        ) as spark:
            built = build(self.settings, spark, self.folder / "extract", watch=watch)
            if differences := [row.asDict() for row in spark.sql(_DIFFERENCES).collect()]:
                raise not_reconciled(differences)
            self._rows = {
                table.name: spark.table(f"building.{table.name}").count()
                for table in spark.catalog.listTables("building")
            }
        return built

    def load(self, *, patience: float, watch: Watch) -> Built:
        """Fills the working tables with it. Raises LoadFailed and BuildFailed."""
        built = load(self.settings, self.conninfo, self.warehouse, self._rows, patience=patience, watch=watch)
        # It takes as much of the disk as the marts do.
        shutil.rmtree(self.warehouse, ignore_errors=True)
        return built
