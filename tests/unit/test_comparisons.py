"""How the numbers of a period compare, in sentences that a reader with moderate English understands."""

from datetime import UTC, date, datetime

import pytest

from regulars.dashboard.pages import comparisons
from regulars.dashboard.pages.months import recent_months
from regulars.dashboard.period_schemas import PeriodNumbers
from regulars.dashboard.queries.periods import PeriodQuery, resolve
from regulars.dashboard.schemas import AcquisitionMonth

AS_OF = datetime(2026, 11, 25, 2, 30, tzinfo=UTC)


def _month(month: date, sales: int) -> AcquisitionMonth:
    counts = dict.fromkeys(("new_customers", "returning_customers", "active_customers", "sales"), sales)
    return AcquisitionMonth.model_validate({"month": month, "net_amount": 10 * sales, **counts})


def _sentence(*months: AcquisitionMonth, against: str = "before", as_of: datetime = AS_OF) -> tuple[str, str]:
    recent = recent_months(months, current=date(2026, 11, 1), as_of=as_of, zone=UTC, against=against)  # type: ignore[arg-type]
    (sales,) = (row for row in comparisons.by_month(recent, against=against, currency="GHS") if row.name == "sales")  # type: ignore[arg-type]
    return sales.sentence, sales.change


def _numbers(of_each: int) -> PeriodNumbers:
    names = ("sales", "new_customers", "net_amount", "profit_amount", "refunded_amount")
    days = {"first_day": AS_OF.date(), "last_day": AS_OF.date()}
    return PeriodNumbers.model_validate(dict.fromkeys(names, of_each) | days)


def test_the_month_so_far_is_told_beside_the_last_whole_one() -> None:
    september, october = _month(date(2026, 9, 1), 100), _month(date(2026, 10, 1), 107)
    assert _sentence(september, october) == ("November so far: 0. October was 7% more than September.", "Oct +7%")
    assert _sentence(october) == ("November so far: 0. October: 107.", "")
    early = datetime(2026, 10, 31, 2, tzinfo=UTC)
    assert _sentence(september, october, as_of=early) == ("November is not counted yet.", "")


def test_against_last_year_the_earlier_month_is_named_with_its_year() -> None:
    months = (_month(date(2025, 10, 1), 50), _month(date(2026, 9, 1), 1), _month(date(2026, 10, 1), 49))
    assert _sentence(*months, against="year")[0] == "November so far: 0. October was 2% less than October 2025."


@pytest.mark.parametrize(
    ("now", "then", "sentence", "change"),
    [
        (107, 100, "Last 7 days: 107. That is 7% more than the 7 days before: 100.", "+7%"),
        (98, 100, "Last 7 days: 98. That is 2% less than the 7 days before: 100.", "−2%"),
        (100, 100, "Last 7 days: 100. That is about the same as the 7 days before: 100.", "0%"),
        (5, 0, "Last 7 days: 5. The 7 days before: 0.", ""),
    ],
)
def test_days_are_compared_with_as_many_days(now: int, then: int, sentence: str, change: str) -> None:
    period = resolve(PeriodQuery(period="7"), today=AS_OF.date())
    numbers = (_numbers(now), _numbers(then))
    (sales,) = (row for row in comparisons.by_day(period, *numbers, currency="GHS") if row.name == "sales")
    assert (sales.sentence, sales.change) == (sentence, change)


def test_a_year_so_far_is_compared_with_the_same_days_of_the_year_before() -> None:
    period = resolve(PeriodQuery(period="year"), today=AS_OF.date())
    revenue = comparisons.by_day(period, _numbers(10), _numbers(10), currency="GHS")[0]
    assert revenue.sentence == (
        "2026 so far, until 24 Nov 2026: GHS\u00a010.00. "
        "That is about the same as the same days of 2025: GHS\u00a010.00."
    )


def test_a_period_of_which_no_day_is_over_has_no_number() -> None:
    period = resolve(PeriodQuery(period="custom", from_=date(2026, 12, 1), to=date(2026, 12, 2)), today=AS_OF.date())
    assert {row.value for row in comparisons.by_day(period, None, None, currency="GHS")} == {None}
