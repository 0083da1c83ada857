"""The metrics for Prometheus: events by outcome, how long they took, how many are spooled; and those of the refresh."""

import math
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ingest.answer import Answer, CheckoutOutcome, SpoolOutcome, VisitOutcome
from ingest.spool.file import Kind, Spool, SpoolRefused
from regulars.ingest_api.refresh_metrics import RefreshMetrics

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.3, 0.5, 1.0)

# All are exported from the start, so that the rate of an outcome that never happened is 0 and not missing.
_OUTCOMES: dict[Kind, tuple[str, ...]] = {
    "checkout": (*get_args(CheckoutOutcome), *get_args(SpoolOutcome)),
    "visit": (*get_args(VisitOutcome), *get_args(SpoolOutcome)),
}


class Metrics:
    """Counts a Tracker's answers: `observe` is its observer. No label holds a value from a caller."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._events = Counter(
            "regulars_events", "Events by their outcome.", ["kind", "outcome"], registry=self._registry
        )
        self._seconds = Histogram(
            "regulars_track_seconds", "Seconds that an event took.", ["kind"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._spooled = Gauge(
            "regulars_spool_events", "Events that wait in this machine's spool.", registry=self._registry
        )
        self._invalid = Counter("regulars_invalid", "Events that could not be read.", ["kind"], registry=self._registry)
        for kind, outcomes in _OUTCOMES.items():
            self._seconds.labels(kind)
            self._invalid.labels(kind)
            for outcome in outcomes:
                self._events.labels(kind, outcome)

    def observe(self, kind: Kind, answer: Answer, seconds: float) -> None:
        self._events.labels(kind, answer.outcome).inc()
        self._seconds.labels(kind).observe(seconds)

    def count_invalid(self, kind: Kind, *, events: int = 1) -> None:
        """Counts events that could not be read, which never reach the tracker."""
        self._invalid.labels(kind).inc(events)

    def watch(self, spool: Spool) -> None:
        self._spooled.set_function(lambda: _depth(spool))

    def watch_refresh(self, conninfo: str) -> None:
        self._registry.register(RefreshMetrics(conninfo))

    def text(self) -> bytes:
        return generate_latest(self._registry)


def _depth(spool: Spool) -> float:
    try:
        return spool.count()
    except SpoolRefused:
        return math.nan
