"""The figures of the page about who comes back: movement, repeat rates, cohorts, and what a customer is worth."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TypeVar

from regulars.dashboard.pages.figures import Figure, span
from regulars.dashboard.pages.formatting import counted, day, full_month, money, month, month_name, number, percent
from regulars.dashboard.pages.months import month_after, month_before, months_between
from regulars.dashboard.schemas import CohortMonth, CohortWindow, LifetimeValueMonth, MovementMonth, RepeatRate

MAX_COHORTS = 24
MAX_BOXES = 12
"""Rows and columns of the picture of the cohorts: with more, a number is too small to read on a phone."""
MAX_CURVES = 12
MAX_MONTHS = 24
MAX_CENTURY = 1200

REPURCHASE_WINDOWS = (30, 60, 90)
VALUE_WINDOWS = (30, 90, 180, 365)


def movement(months: Sequence[MovementMonth], *, unfinished: date) -> Figure:
    """How many lapsed is known only when a month is over, so the unfinished one has no such column."""
    if not months:
        return Figure("movement", (), "Nobody has bought yet: the first sale begins the first month.")
    if len(months) == 1:
        first = months[0].month
        reason = f"a month is compared with the one before, and {full_month(first)} is the first."
        return Figure("movement", (), f"{_next_month(first, unfinished)}: {reason}")
    shown = months[-MAX_MONTHS:]
    rows = tuple(
        {"month": row.month.isoformat(), "kind": kind, "customers": count, "unfinished": row.month >= unfinished}
        for row in shown
        for kind, count in (
            ("Retained", row.retained_customers),
            ("Reactivated", row.reactivated_customers),
            ("New", row.new_customers),
            ("Lapsed", -row.lapsed_customers if row.month < unfinished else 0),
        )
    )
    latest = [row for row in months if row.month < unfinished][-1:] or [months[-1]]
    row = latest[0] if latest[0].month > months[0].month else months[-1]
    before = month_name(month_before(row.month))
    so_far = " so far" if row.month >= unfinished else ""
    answer = (
        f"In {full_month(row.month)}{so_far}, {counted(row.active_customers, 'customer')} bought: "
        f"{number(row.new_customers)} new, {number(row.retained_customers)} who had bought in {before} too, and "
        f"{number(row.reactivated_customers)} who came back after a pause."
    )
    if not so_far:
        answer += f" {number(row.lapsed_customers)} of {before}'s customers did not buy in {month_name(row.month)}."
    return Figure(
        "movement",
        rows,
        f"Columns of new, retained and reactivated customers by month, and below the line the lapsed ones, "
        f"{span(shown[0].month, shown[-1].month)}.",
        answer,
        f"The latest {MAX_MONTHS} months of {number(len(months))}." if len(months) > MAX_MONTHS else "",
    )


def repeat_rates(rates: Sequence[RepeatRate], *, unfinished: date) -> Figure:
    """A month without customers has no rate, so the lines break there."""
    if not rates:
        return Figure("repeat-rates", (), "Nobody has bought yet, so nobody can have come back.")
    by_month = {row.month: row for row in rates}
    rows = tuple(
        {
            "month": month.isoformat(),
            "kind": kind,
            "rate": float(rate) if rate is not None else None,
            "unfinished": month >= unfinished,
        }
        for month in months_between(rates[0].month, rates[-1].month, most=MAX_CENTURY)
        for row in (by_month.get(month),)
        for kind, rate in (
            ("Lifetime", row.lifetime_repeat_rate if row else None),
            ("Returning", row.returning_share if row else None),
            ("Twice in the month", row.in_month_repeat_rate if row else None),
        )
    )
    last = rates[-1]
    so_far = " so far" if last.month >= unfinished else ""
    answer = "No customer is known by phone number yet."
    if last.lifetime_repeat_rate is not None:
        answer = (
            f"{number(last.repeat_customers_to_date)} of {number(last.customers_to_date)} customers have bought at "
            f"least twice: {percent(last.lifetime_repeat_rate)}."
        )
    if last.returning_share is not None:
        answer += (
            f" Of those who bought in {full_month(last.month)}{so_far}, {percent(last.returning_share)} had first "
            "bought in an earlier month."
        )
    return Figure(
        "repeat-rates",
        rows,
        f"Lines of three repeat rates by month, {span(rates[0].month, last.month)}. {answer}",
        answer,
    )


def repurchase(windows: Sequence[CohortWindow]) -> Figure:
    """A cohort's rate is drawn when its last customer has had the whole window."""
    asked = [row for row in windows if row.window_days in REPURCHASE_WINDOWS]
    if not asked:
        return Figure("repurchase", (), "Nobody has bought yet, so nobody can have bought again.")
    mature = [row for row in asked if row.repurchase_rate is not None]
    if not mature:
        return Figure("repurchase", (), _from_when_on(min(asked, key=lambda row: row.matures_on)))
    rates = {(row.cohort_month, row.window_days): row.repurchase_rate for row in mature}
    cohorts = sorted({row.cohort_month for row in mature})
    shown = months_between(cohorts[0], cohorts[-1], most=MAX_COHORTS)
    rows = tuple(
        {
            "month": cohort.isoformat(),
            "kind": f"{days} days",
            "rate": None if (rate := rates.get((cohort, days))) is None else float(rate),
            "unfinished": False,
        }
        for cohort in shown
        for days in REPURCHASE_WINDOWS
    )
    days = max(row.window_days for row in mature)
    latest = max((row for row in mature if row.window_days == days), key=lambda row: row.cohort_month)
    answer = (
        f"Of the {counted(latest.customers, 'customer')} who first bought in {full_month(latest.cohort_month)}, "
        f"{percent(latest.repurchase_rate or 0)} bought again within {days} days."
    )
    return Figure(
        "repurchase",
        rows,
        f"Lines of the share of each month's new customers who bought again within 30, 60 and 90 days, "
        f"{span(shown[0], shown[-1])}. {answer}",
        answer,
        f"The picture shows the latest {MAX_COHORTS} months." if shown[0] > cohorts[0] else "",
    )


def _next_month(first: date, unfinished: date) -> str:
    """When a shop gets its second month, of which `first` is the only one so far."""
    return f"From {day(month_after(first))} on" if first >= unfinished else "From the next purchase on"


def _from_when_on(row: CohortWindow) -> str:
    return (
        f"From {day(row.matures_on)} on: {row.window_days} days after the last of {month_name(row.cohort_month)}'s new "
        "customers."
    )


def cohorts(rows: Sequence[CohortMonth], *, unfinished: date, limit: int = MAX_BOXES) -> Figure:
    """Month 0 retains everybody by definition, so drawing starts with month 1."""
    later = [row for row in rows if row.months_since > 0]
    if not rows:
        return Figure("cohorts", (), "Nobody has bought yet, so nobody can have stayed.")
    if not later:
        earliest = rows[0].cohort_month
        reason = f"those of {full_month(earliest)} are the first who can return."
        return Figure("cohorts", (), f"{_next_month(earliest, unfinished)}: {reason}")
    shown = sorted({row.cohort_month for row in later})[-limit:]
    drawn = tuple(
        {
            "cohort": row.cohort_month.isoformat(),
            "label": f"{month(row.cohort_month)} ({number(row.cohort_size)})",
            "since": row.months_since,
            "of_100": round(100 * float(row.retention_rate), 2),
        }
        for row in later
        if row.cohort_month in shown and row.months_since <= limit
    )
    first = [row for row in later if row.months_since == 1]
    size, back = sum(row.cohort_size for row in first), sum(row.active_customers for row in first)
    answer = ""
    if size:
        answer = f"Over all months, {percent(back / size)} bought again in the month after their first purchase."
    summary = f"A map of how many of each month's new customers bought again, {span(shown[0], shown[-1])}. {answer}"
    is_cut = shown[0] > min(row.cohort_month for row in later) or any(row.months_since > limit for row in later)
    note = f"The picture shows the latest {limit} cohorts and the first {limit} months of each." if is_cut else ""
    how = "Each box: how many of 100 bought again 1, 2, 3… months later."
    return Figure("cohorts", drawn, summary.strip(), f"{how} {answer}".strip(), note)


def lifetime_values(
    rows: Sequence[LifetimeValueMonth], windows: Sequence[CohortWindow], *, currency: str, limit: int = MAX_CURVES
) -> Figure:
    """A curve for each cohort, over the months that are over; the sentence compares customers of the same age."""
    if not rows:
        return Figure("lifetime-values", (), "Nobody has bought yet, so nobody is worth anything yet.")
    mature = [row for row in rows if row.net_per_customer is not None]
    if not mature:
        first = min(rows, key=lambda row: row.matures_on)
        return Figure(
            "lifetime-values", (), f"From {day(first.matures_on)} on: {full_month(first.cohort_month)} is over then."
        )
    cohorts = sorted({row.cohort_month for row in mature})
    shown = cohorts[-limit:]
    drawn = tuple(
        {
            "cohort": row.cohort_month.isoformat(),
            "label": month(row.cohort_month),
            "since": row.months_since,
            "value": float(row.net_per_customer or 0),
        }
        for row in mature
        if row.cohort_month in shown
    )
    note = f"The picture shows the latest {limit} months of {len(cohorts)}." if len(cohorts) > limit else ""
    summary = f"A curve for each month of first purchases, {span(shown[0], shown[-1])}: the average spent by age."
    answer = _worth(windows, currency=currency)
    if not answer:
        newest = next(row for row in reversed(mature) if row.months_since == 0)
        spent = money(newest.net_per_customer or Decimal(0), currency)
        cohort = full_month(newest.cohort_month)
        answer = f"The customers of {cohort} had each spent {spent} on average by the end of that month."
    return Figure("lifetime-values", drawn, summary, answer, note)


def _worth(windows: Sequence[CohortWindow], *, currency: str) -> str:
    """The newest and the oldest cohort at the same age, if any has had 30 days."""
    for days in (90, 30):
        of_age = sorted(
            (row for row in windows if row.window_days == days and row.net_per_customer is not None),
            key=lambda row: row.cohort_month,
        )
        if of_age:
            break
    else:
        return ""
    newest, oldest = of_age[-1], of_age[0]
    now, then = (money(row.net_per_customer or Decimal(0), currency) for row in (newest, oldest))
    answer = (
        f"The customers of {full_month(newest.cohort_month)} had each spent {now} on average {days} days after their "
        "first purchase"
    )
    return f"{answer}." if newest is oldest else f"{answer}; those of {full_month(oldest.cohort_month)}, {then}."


_OfCohort = TypeVar("_OfCohort", CohortMonth, LifetimeValueMonth, CohortWindow)


def by_cohort(rows: Sequence[_OfCohort]) -> list[list[_OfCohort]]:
    """The latest cohort first; in each, the earliest month or the shortest window first."""
    cohorts: dict[date, list[_OfCohort]] = {}
    for row in rows:
        cohorts.setdefault(row.cohort_month, []).append(row)
    return [cohorts[month] for month in sorted(cohorts, reverse=True)]
