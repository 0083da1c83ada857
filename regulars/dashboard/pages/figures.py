"""The five figures of the overview: the data that each draws, and a sentence for readers who can't see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from regulars.dashboard.pages.formatting import day, money, month, number, percent
from regulars.dashboard.pages.months import month_before
from regulars.dashboard.schemas import AcquisitionMonth, CohortMonth, RepeatRate, RevenueDay, SlugRow

Name = Literal["acquisition", "repeat-rates", "cohorts", "links", "revenue"]

MAX_COHORTS = 24
MAX_LINKS = 12


@dataclass(frozen=True, slots=True)
class Figure:
    """Draws `rows`, the oldest or largest first. Without rows there is nothing to draw yet, and `summary` says why."""

    name: Name
    rows: tuple[dict[str, Any], ...]
    summary: str
    """What the picture shows, in a sentence: its alternative text."""
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
    return Figure(
        "acquisition",
        rows,
        f"Columns of new and returning customers, {_span(months[0].month, last.month)}. {month(last.month)}: "
        f"{number(last.new_customers)} new and {number(last.returning_customers)} returning"
        f"{' so far' if last.month >= unfinished else ''}.",
    )


def repeat_rates(rates: Sequence[RepeatRate], *, unfinished: date) -> Figure:
    """A month without a sale has no rate, so the line breaks there."""
    if not rates:
        return Figure("repeat-rates", (), "Nobody has bought yet, so nobody can have come back.")
    known = {row.month: float(row.repeat_rate) for row in rates}
    months = [rates[-1].month]
    while months[-1] > rates[0].month and len(months) < 1200:
        months.append(month_before(months[-1]))
    rows = tuple(
        {"month": month.isoformat(), "rate": known.get(month), "unfinished": month >= unfinished}
        for month in reversed(months)
    )
    last = rates[-1]
    return Figure(
        "repeat-rates",
        rows,
        f"A line of the share of each month's customers who had bought before, {_span(rates[0].month, last.month)}. "
        f"{month(last.month)}: {percent(last.repeat_rate)}, {number(last.repeat_customers)} of "
        f"{number(last.customers)} customers{' so far' if last.month >= unfinished else ''}.",
    )


def cohorts(rows: Sequence[CohortMonth], *, limit: int = MAX_COHORTS) -> Figure:
    """Month 0 retains everybody by definition, so drawing starts with month 1."""
    later = [row for row in rows if row.months_since > 0]
    if not later:
        return Figure(
            "cohorts", (), "Not known yet: a month after the first purchases has to come before anybody can return."
        )
    shown = sorted({row.cohort_month for row in later})[-limit:]
    drawn = tuple(
        {
            "cohort": row.cohort_month.isoformat(),
            "label": f"{month(row.cohort_month)} ({number(row.cohort_size)})",
            "since": row.months_since,
            "rate": float(row.retention_rate),
        }
        for row in later
        if row.cohort_month in shown and row.months_since <= limit
    )
    first = [row for row in later if row.months_since == 1]
    size, back = sum(row.cohort_size for row in first), sum(row.active_customers for row in first)
    summary = f"A map of how many of each month's new customers bought again, {_span(shown[0], shown[-1])}."
    if size:
        summary += f" Over all cohorts, {percent(back / size)} bought again in the month after their first purchase."
    is_cut = shown[0] > min(row.cohort_month for row in later) or any(row.months_since > limit for row in later)
    return Figure("cohorts", drawn, summary, _latest(limit) if is_cut else "")


def links(slugs: Sequence[SlugRow], *, currency: str, limit: int = MAX_LINKS) -> Figure:
    """The links with the largest revenue."""
    sold = sorted((row for row in slugs if row.sales), key=lambda row: row.net_amount, reverse=True)
    if not sold:
        return Figure("links", (), "No link has brought a sale yet.")
    rows = tuple(
        {"link": row.slug, "rank": rank, "net": float(row.net_amount)} for rank, row in enumerate(sold[:limit])
    )
    largest = ", ".join(f"{row.slug} {money(row.net_amount, currency)}" for row in sold[:3])
    note = f"The picture shows the {limit} links with the largest revenue of {len(sold)}." if len(sold) > limit else ""
    return Figure("links", rows, f"Bars of the revenue that each link brought, the largest first: {largest}.", note)


def revenue(days: Sequence[RevenueDay], *, currency: str) -> Figure:
    """The days up to `as_of`; the last one is not over."""
    if not any(row.sales or row.refunded_amount for row in days):
        return Figure("revenue", (), f"No sale in these {len(days)} days." if days else "No day has been counted yet.")
    rows = tuple(
        {"day": row.order_date.isoformat(), "net": float(row.net_amount), "unfinished": row is days[-1]} for row in days
    )
    total = sum(row.net_amount for row in days)
    return Figure(
        "revenue",
        rows,
        f"Columns of the revenue of each day, {day(days[0].order_date)} to {day(days[-1].order_date)}, with a line of "
        f"the mean of seven days. Together {money(total, currency) if total else 'nothing'}.",
    )


def _span(first: date, last: date) -> str:
    return month(first) if first == last else f"{month(first)} to {month(last)}"


def _latest(limit: int) -> str:
    return f"The picture shows the latest {limit} cohorts and the first {limit} months of each."


def by_cohort(rows: Sequence[CohortMonth]) -> list[list[CohortMonth]]:
    """The latest cohort first; in each, month 0 first."""
    cohorts: dict[date, list[CohortMonth]] = {}
    for row in rows:
        cohorts.setdefault(row.cohort_month, []).append(row)
    return [sorted(cohorts[month], key=lambda row: row.months_since) for month in sorted(cohorts, reverse=True)]
