"""This month, the last and the one before it: what is known of each, and what may be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import Enum

from regulars.dashboard.api.schemas import AcquisitionMonth


class Known(Enum):
    """How much of a month the numbers hold."""

    WHOLE = "whole"
    SO_FAR = "so far"
    NOTHING = "nothing"
    """The last refresh was before the month began: its 0 would be a statement that nobody made."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month's figures. All are 0 where nothing was sold, and none is to be shown where nothing is known."""

    month: date
    known: Known
    new_customers: int
    returning_customers: int
    active_customers: int
    sales: int
    net_amount: Decimal

    def figure(self, name: str) -> int | Decimal | None:
        value: int | Decimal = getattr(self, name)
        return None if self.known is Known.NOTHING else value


@dataclass(frozen=True, slots=True)
class Recent:
    this: Month
    last: Month
    before: Month

    def change(self, name: str) -> Decimal | None:
        """How the last month differs from the one before; None unless both are whole and there is a base."""
        figure, base = self.last.figure(name), self.before.figure(name)
        if figure is None or base is None or base <= 0 or not self.last.known is self.before.known is Known.WHOLE:
            return None
        return Decimal(figure) / Decimal(base) - 1


def recent(months: Sequence[AcquisitionMonth], *, current: date, as_of: datetime, zone: tzinfo) -> Recent:
    """`current`: first day of the shop's present month. A month that has no row is one without a sale."""
    rows = {row.month: row for row in months}
    local_as_of = as_of.astimezone(zone).date()

    def known(month: date) -> Known:
        if local_as_of < month:
            return Known.NOTHING
        return Known.WHOLE if local_as_of >= _after(month) else Known.SO_FAR

    def figures(month: date) -> Month:
        row = rows.get(month)
        if row is None:
            return Month(month, known(month), 0, 0, 0, 0, Decimal(0))
        customers = (row.new_customers, row.returning_customers, row.active_customers)
        return Month(month, known(month), *customers, row.sales, row.net_amount)

    last = first_before(current)
    return Recent(figures(current), figures(last), figures(first_before(last)))


def first_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def _after(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)
