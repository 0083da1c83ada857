"""CDNOW's purchases; tests/data/README.md says where they come from."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

_FOLDER = Path(__file__).with_name("data")

# The literature fits to the first 39 weeks and predicts the other 39.
CALIBRATION_END = date(1997, 9, 30)

Days = dict[int, dict[date, Decimal]]


def purchases() -> Iterator[tuple[int, date, Decimal]]:
    """Customer, day and amount of each purchase; a customer may have several on a day."""
    with gzip.open(_FOLDER / "cdnow.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield int(row["customer"]), date.fromisoformat(row["date"]), Decimal(row["amount"])


def purchase_days(*, sample: bool = False) -> Days:
    """Customer → day → amount; of the 1/10 sample, or of all. Purchases of one day are one."""
    chosen = _sample() if sample else None
    days: defaultdict[int, defaultdict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for customer, day, amount in purchases():
        if chosen is None or customer in chosen:
            days[customer][day] += amount
    return {customer: dict(amounts) for customer, amounts in days.items()}


def _sample() -> set[int]:
    with (_FOLDER / "cdnow_sample.csv").open(encoding="utf-8") as file:
        return {int(row["customer"]) for row in csv.DictReader(file)}
