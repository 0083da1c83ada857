"""The metrics of the refresh, beside those of the ingest API: read from the database whenever somebody asks."""

import time
from collections.abc import Iterable, Iterator

import psycopg
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingest.storage.budget import BudgetedConnection

_SECONDS_TO_CONNECT = 2
_SECONDS_TO_ANSWER = 1

# Of each figure: its metric and what it is.
_FIGURES = {
    "as_of": ("regulars_numbers_as_of_timestamp_seconds", "Everything before this moment is in the numbers."),
    "seconds": ("regulars_refresh_seconds", "Seconds that the last refresh that succeeded took."),
    "changes": ("regulars_refresh_changes", "Changed keys that it took."),
    "failed": ("regulars_refresh_failed", "1 if the last refresh that ended did not succeed, otherwise 0."),
    "open_alarms": ("regulars_open_alarms", "Alarms that hold."),
    "alarms": ("regulars_alarms", "Alarms that hold, by cause."),
}


class RefreshMetrics(Collector):
    """Without the database, or before the first refresh, the metrics are absent; the ingest API's own are shown."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry need not ask the database when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        rows = self._read()
        for name, (metric, description) in _FIGURES.items():
            family = GaugeMetricFamily(metric, description, labels=["cause"] if name == "alarms" else [])
            for _, label, figure in (row for row in rows if row[0] == name):
                family.add_metric([label] if name == "alarms" else [], figure)
            if family.samples:
                yield family

    def _read(self) -> list[tuple[str, str, float]]:
        try:
            with BudgetedConnection.connect(
                self._conninfo, autocommit=True, connect_timeout=_SECONDS_TO_CONNECT,
                application_name="regulars-ingest-api",
            ) as connection:  # fmt: skip
                connection.deadline = time.monotonic() + _SECONDS_TO_ANSWER
                return connection.execute("select name, label, figure from regulars.refresh_figures()").fetchall()
        except psycopg.Error:
            return []
