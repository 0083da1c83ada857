"""The overview's figures, and what a figure is: the data that it draws, and what it shows in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from regulars.dashboard.pages.formatting import counted, day, full_month, money, month, number
from regulars.dashboard.schemas import AcquisitionMonth, RevenueDay

Name = Literal[
    "acquisition",
    "revenue",
    "movement",
    "repeat-rates",
    "repurchase",
    "cohorts",
    "lifetime-values",
    "links",
    "networks",
    "segments",
    "forecast",
]


@dataclass(frozen=True, slots=True)
class Figure:
    """Draws `rows`, the oldest or largest first. Without rows there is nothing to draw yet, and `summary` says why."""

    name: Name
    rows: tuple[dict[str, Any], ...]
    summary: str
    """What the picture shows, in a sentence: its alternative text. Without rows: why, and from when on there are."""
    answer: str = ""
    """The answer to the section's question, above the picture."""
    note: str = ""
    """What the table holds and the picture leaves out."""


def acquisition(months: Sequence[AcquisitionMonth], *, unfinished: date) -> Figure:
    """`unfinished`: first day of the month that was not over at `as_of`."""
    rows = tuple(
        {"month": row.month.isoformat(), "kind": kind, "customers": count, "unfinished": row.month >= unfinished}
        for row in months
        for kind, count in (("New", row.new_customers), ("Returning", row.returning_customers))
    )
    if not months:
        return Figure("acquisition", (), "Nobody has bought yet: the first sale begins the first month.")
    last = months[-1]
    so_far = " so far" if last.month >= unfinished else ""
    counts = f"{number(last.new_customers)} new and {number(last.returning_customers)} returning"
    return Figure(
        "acquisition",
        rows,
        f"Columns of new and returning customers, {span(months[0].month, last.month)}. "
        f"{month(last.month)}: {counts}{so_far}.",
        f"In {full_month(last.month)}{so_far}, {counted(last.active_customers, 'customer')} bought: {counts}.",
    )


def revenue(
    days: Sequence[RevenueDay], *, title: str, today: date, currency: str, earlier: int = 0, is_cut: bool = False
) -> Figure:
    """The days of a period, named by `title`, after as many `earlier` ones; `today` is not over.

    `is_cut`: the period has more days than the picture.
    """
    of_period = days[earlier:]
    if not any(row.sales or row.refunded_amount for row in days):
        return Figure("revenue", (), f"No sale on these {len(days)} days." if days else "No day has been counted yet.")
    rows = tuple(
        {
            "day": row.order_date.isoformat(),
            "net": float(row.net_amount),
            "unfinished": row.order_date >= today,
            "earlier": place < earlier,
        }
        for place, row in enumerate(days)
    )
    total = sum(row.net_amount for row in of_period)
    together = money(total, currency) if total else "nothing"
    sales = sum(row.sales for row in of_period)
    when = f"The last {len(of_period)} days" if is_cut else title
    answer = f"{when}: {counted(sales, 'sale')} brought {together}."
    return Figure(
        "revenue",
        rows,
        f"Columns of the revenue of each day, {day(days[0].order_date)} to {day(days[-1].order_date)}, with a line of "
        f"the mean of seven days. {answer}",
        answer,
        f"The picture shows the last {len(of_period)} days of the period." if is_cut else "",
    )


def span(first: date, last: date) -> str:
    return month(first) if first == last else f"{month(first)} to {month(last)}"
