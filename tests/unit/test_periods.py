"""The date control: which days are meant, and that only equal stretches of whole days are compared."""

from datetime import date, timedelta
from itertools import product

import pytest
from pydantic import ValidationError

from regulars.dashboard.queries.periods import PeriodQuery, Span, resolve

TODAY = date(2026, 11, 25)


def _asked(**query: object) -> PeriodQuery:
    return PeriodQuery.model_validate(query)


def _days(first: str, last: str) -> Span:
    return Span(date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    ("query", "span", "counted", "compared"),
    [
        ({"period": "7"}, ("2026-11-18", "2026-11-24"), ("2026-11-18", "2026-11-24"), ("2026-11-11", "2026-11-17")),
        ({"period": "month"}, ("2026-11-01", "2026-11-30"), ("2026-11-01", "2026-11-24"), ("2026-10-01", "2026-10-24")),
        ({"period": "year"}, ("2026-01-01", "2026-12-31"), ("2026-01-01", "2026-11-24"), ("2025-01-01", "2025-11-24")),
        (
            {"period": "month", "against": "year"},
            ("2026-11-01", "2026-11-30"), ("2026-11-01", "2026-11-24"), ("2025-11-01", "2025-11-24"),
        ),
        (
            {"period": "custom", "from": "2026-11-20", "to": "2026-11-29"},
            ("2026-11-20", "2026-11-29"), ("2026-11-20", "2026-11-24"), ("2026-11-10", "2026-11-14"),
        ),
    ],
)  # fmt: skip
def test_a_period_is_compared_with_as_many_whole_days(
    query: dict[str, str], span: tuple[str, str], counted: tuple[str, str], compared: tuple[str, str]
) -> None:
    period = resolve(_asked(**query), today=TODAY)
    assert (period.span, period.counted, period.compared) == (_days(*span), _days(*counted), _days(*compared))


def test_what_is_compared_is_over_and_as_long_on_every_day_of_four_years() -> None:
    for number, kind, against in product(range(1461), ("7", "30", "90", "month", "year"), ("before", "year")):
        today = date(2024, 1, 1) + timedelta(days=number)
        period = resolve(_asked(period=kind, against=against), today=today)
        if period.counted is None or period.compared is None:
            assert today in (today.replace(day=1), today.replace(month=1, day=1)), "only a new month has no whole day"
            continue
        assert period.counted.last < today
        assert period.compared.last < period.counted.first
        # A month may be longer than the one before it, and a leap day has no day a year earlier.
        assert period.counted.days - period.compared.days in ((0, 1, 2, 3) if kind == "month" else (-1, 0, 1))


def test_a_period_that_has_not_begun_covers_nothing() -> None:
    period = resolve(_asked(period="custom", **{"from": "2026-12-01", "to": "2026-12-05"}), today=TODAY)
    assert (period.covered, period.counted, period.compared) == (None, None, None)


@pytest.mark.parametrize(
    "query",
    [
        {"period": "8"}, {"period": "custom"}, {"period": "custom", "from": "2026-01-01"}, {"against": "never"},
        {"period": "custom", "from": "2026-02-01", "to": "2026-01-01"}, {"days": "7"},
        {"period": "custom", "from": "0001-01-01", "to": "2026-01-01"},
        {"period": "custom", "from": "1767225600", "to": "2026-01-01"},
        {"period": "custom", "from": "2026-02-30", "to": "2026-03-01"},
    ],
)  # fmt: skip
def test_a_period_that_cannot_be_read_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        _asked(**query)
