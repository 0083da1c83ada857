"""The overview's figures. A figure has the data that it draws, and sentences about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.language.catalogue import ngettext, pgettext
from regulars.dashboard.pages import formatting
from regulars.dashboard.pages.formatting import full_month, money, month, number
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
    """The picture's alternative text, a sentence. Without rows: why, and from when on there are rows."""
    answer: str = ""
    """The answer to the section's question, above the picture."""
    note: str = ""
    """The part of the table that the picture leaves out, in a sentence."""


def acquisition(months: Sequence[AcquisitionMonth], *, unfinished: date) -> Figure:
    """`unfinished`: first day of the month that was not over at `as_of`."""
    rows = tuple(
        {"month": row.month.isoformat(), "kind": kind, "customers": count, "unfinished": row.month >= unfinished}
        for row in months
        for kind, count in ((_("New"), row.new_customers), (_("Returning"), row.returning_customers))
    )
    if not months:
        return Figure("acquisition", (), _("Nobody has bought yet: the first sale begins the first month."))
    last = months[-1]
    answer = ngettext(
        "In %(month)s, %(customers)s customer bought: %(new)s new and %(returning)s returning.",
        "In %(month)s, %(customers)s customers bought: %(new)s new and %(returning)s returning.",
        last.active_customers,
        month=named(last.month, unfinished),
        customers=number(last.active_customers),
        new=number(last.new_customers),
        returning=number(last.returning_customers),
    )
    return Figure(
        "acquisition",
        rows,
        _(
            "Columns of new and returning customers, %(months)s. %(answer)s",
            months=span(months[0].month, last.month),
            answer=answer,
        ),
        answer,
    )


def revenue(
    days: Sequence[RevenueDay], *, title: str, today: date, currency: str, earlier: int = 0, is_cut: bool = False
) -> Figure:
    """The days of a period, named by `title`, after as many `earlier` ones; `today` is not over.

    `is_cut`: the period has more days than the picture.
    """
    of_period = days[earlier:]
    if not any(row.sales or row.refunded_amount for row in days):
        return Figure("revenue", (), _nothing_sold(len(days)))
    rows = tuple(
        {
            "day": row.order_date.isoformat(),
            "net": float(row.net_amount),
            "unfinished": row.order_date >= today,
            "earlier": place < earlier,
        }
        for place, row in enumerate(days)
    )
    total = sum((row.net_amount for row in of_period), Decimal(0))
    sales = sum(row.sales for row in of_period)
    answer = ngettext(
        "%(days)s: %(sales)s sale brought %(amount)s.",
        "%(days)s: %(sales)s sales brought %(amount)s.",
        sales,
        days=_("The last %(count)s days", count=len(of_period)) if is_cut else title,
        sales=number(sales),
        amount=money(total, currency) if total else _("nothing"),
    )
    return Figure(
        "revenue",
        rows,
        _(
            "Columns of the revenue of each day, %(days)s, with a line of the mean of seven days. %(answer)s",
            days=formatting.span(days[0].order_date, days[-1].order_date),
            answer=answer,
        ),
        answer,
        _("The picture shows the last %(days)s days of the period.", days=len(of_period)) if is_cut else "",
    )


def _nothing_sold(days: int) -> str:
    if not days:
        return _("No day has been counted yet.")
    return ngettext("No sale on this day.", "No sale on these %(days)s days.", days, days=number(days))


def span(first: date, last: date) -> str:
    """The months from `first` to `last`: Nov 2025 to Nov 2026."""
    if first == last:
        return month(first)
    return pgettext("months", "%(first)s to %(last)s", first=month(first), last=month(last))


def named(on: date, unfinished: date) -> str:
    """The month, and whether it is over: November 2026; November 2026 so far."""
    return _("%(month)s so far", month=full_month(on)) if on >= unfinished else full_month(on)
