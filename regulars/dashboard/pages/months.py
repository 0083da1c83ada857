"""This month, the last and an earlier one: how much of each the numbers cover, and what may be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import Enum

from regulars.dashboard.queries.periods import Against
from regulars.dashboard.schemas import AcquisitionMonth


class Coverage(Enum):
    """How much of a month the numbers cover."""

    WHOLE = "whole"
    SO_FAR = "so far"
    NONE = "none"
    """The last refresh was before the month began, so a 0 would be a guess."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month's figures: 0 where nothing was sold, None where the numbers don't cover the month."""

    month: date
    coverage: Coverage
    new_customers: int
    returning_customers: int
    active_customers: int
    sales: int
    net_amount: Decimal

    def figure(self, name: str) -> int | Decimal | None:
        value: int | Decimal = getattr(self, name)
        return None if self.coverage is Coverage.NONE else value


@dataclass(frozen=True, slots=True)
class RecentMonths:
    this: Month
    last: Month
    before: Month
    """The month with which the last one is compared."""

    def change(self, name: str) -> Decimal | None:
        """The last month relative to the one before; None unless both are whole and the earlier figure is above 0."""
        figure, base = self.last.figure(name), self.before.figure(name)
        are_whole = self.last.coverage is self.before.coverage is Coverage.WHOLE
        if figure is None or base is None or base <= 0 or not are_whole:
            return None
        return Decimal(figure) / Decimal(base) - 1


def recent_months(
    months: Sequence[AcquisitionMonth], *, current: date, as_of: datetime, zone: tzinfo, against: Against = "before"
) -> RecentMonths:
    """`current`: first day of the shop's present month. A month without a row had no sale."""
    rows = {row.month: row for row in months}
    local_as_of = as_of.astimezone(zone).date()

    def coverage(month: date) -> Coverage:
        if local_as_of < month:
            return Coverage.NONE
        return Coverage.WHOLE if local_as_of >= month_after(month) else Coverage.SO_FAR

    def figures(month: date) -> Month:
        row = rows.get(month)
        if row is None:
            return Month(month, coverage(month), 0, 0, 0, 0, Decimal(0))
        customers = (row.new_customers, row.returning_customers, row.active_customers)
        return Month(month, coverage(month), *customers, row.sales, row.net_amount)

    last = month_before(current)
    compared = last.replace(year=last.year - 1) if against == "year" else month_before(last)
    return RecentMonths(figures(current), figures(last), figures(compared))


def month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def month_after(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def months_between(first: date, last: date, *, most: int) -> list[date]:
    """The months from `first` to `last`, none missing; if there are more than `most`, the latest ones."""
    months = [last]
    while months[-1] > first and len(months) < most:
        months.append(month_before(months[-1]))
    return months[::-1]
