"""The figures of the page about who comes back: movement, repeat rates, cohorts, and what a customer is worth."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TypeVar

from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.language.catalogue import ngettext
from regulars.dashboard.pages.figures import Figure, named, span
from regulars.dashboard.pages.formatting import day, full_month, money, month, month_name, number, percent
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
    """Lapsed customers are known only when a month is over, so the unfinished one has no such column."""
    if not months:
        return Figure("movement", (), _("Nobody has bought yet: the first sale begins the first month."))
    if len(months) == 1:
        first = months[0].month
        reason = _("a month is compared with the one before, and %(month)s is the first.", month=full_month(first))
        return Figure("movement", (), _from_then_on(first, unfinished, reason))
    shown = months[-MAX_MONTHS:]
    rows = tuple(
        {"month": row.month.isoformat(), "kind": kind, "customers": count, "unfinished": row.month >= unfinished}
        for row in shown
        for kind, count in (
            (_("Retained"), row.retained_customers),
            (_("Reactivated"), row.reactivated_customers),
            (_("New"), row.new_customers),
            (_("Lapsed"), -row.lapsed_customers if row.month < unfinished else 0),
        )
    )
    latest = [row for row in months if row.month < unfinished][-1:] or [months[-1]]
    row = latest[0] if latest[0].month > months[0].month else months[-1]
    return Figure(
        "movement",
        rows,
        _(
            "Columns of new, retained and reactivated customers by month, and below the line the lapsed ones, "
            "%(months)s.",
            months=span(shown[0].month, shown[-1].month),
        ),
        _moved(row, unfinished=unfinished),
        _("The latest %(shown)s months of %(all)s.", shown=MAX_MONTHS, all=number(len(months)))
        if len(months) > MAX_MONTHS
        else "",
    )


def _moved(row: MovementMonth, *, unfinished: date) -> str:
    before = month_name(month_before(row.month))
    answer = ngettext(
        "In %(month)s, %(customers)s customer bought: %(new)s new, %(retained)s who had bought in %(before)s too, and "
        "%(reactivated)s who came back after a pause.",
        "In %(month)s, %(customers)s customers bought: %(new)s new, %(retained)s who had bought in %(before)s too, and "
        "%(reactivated)s who came back after a pause.",
        row.active_customers,
        month=named(row.month, unfinished),
        customers=number(row.active_customers),
        new=number(row.new_customers),
        retained=number(row.retained_customers),
        before=before,
        reactivated=number(row.reactivated_customers),
    )
    if row.month >= unfinished:
        return answer
    lapsed = _(
        "%(customers)s of %(before)s's customers did not buy in %(month)s.",
        customers=number(row.lapsed_customers),
        before=before,
        month=month_name(row.month),
    )
    return f"{answer} {lapsed}"


def repeat_rates(rates: Sequence[RepeatRate], *, unfinished: date) -> Figure:
    """A month without customers has no rate, so the lines break there."""
    if not rates:
        return Figure("repeat-rates", (), _("Nobody has bought yet, so nobody can have come back."))
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
            (_("Lifetime"), row.lifetime_repeat_rate if row else None),
            (_("Returning"), row.returning_share if row else None),
            (_("Twice in the month"), row.in_month_repeat_rate if row else None),
        )
    )
    last = rates[-1]
    answer = _("No customer is known by phone number yet.")
    if last.lifetime_repeat_rate is not None:
        answer = _(
            "%(repeat)s of %(customers)s customers have bought at least twice: %(percent)s.",
            repeat=number(last.repeat_customers_to_date),
            customers=number(last.customers_to_date),
            percent=percent(last.lifetime_repeat_rate),
        )
    if last.returning_share is not None:
        answer += " " + _(
            "Of those who bought in %(month)s, %(percent)s had first bought in an earlier month.",
            month=named(last.month, unfinished),
            percent=percent(last.returning_share),
        )
    return Figure(
        "repeat-rates",
        rows,
        _(
            "Lines of three repeat rates by month, %(months)s. %(answer)s",
            months=span(rates[0].month, last.month),
            answer=answer,
        ),
        answer,
    )


def repurchase(windows: Sequence[CohortWindow]) -> Figure:
    """A cohort's rate is drawn when its last customer has had the whole window."""
    asked = [row for row in windows if row.window_days in REPURCHASE_WINDOWS]
    if not asked:
        return Figure("repurchase", (), _("Nobody has bought yet, so nobody can have bought again."))
    mature = [row for row in asked if row.repurchase_rate is not None]
    if not mature:
        return Figure("repurchase", (), _from_when_on(min(asked, key=lambda row: row.matures_on)))
    rates = {(row.cohort_month, row.window_days): row.repurchase_rate for row in mature}
    cohorts = sorted({row.cohort_month for row in mature})
    shown = months_between(cohorts[0], cohorts[-1], most=MAX_COHORTS)
    rows = tuple(
        {
            "month": cohort.isoformat(),
            "kind": _("%(days)s days", days=days),
            "rate": None if (rate := rates.get((cohort, days))) is None else float(rate),
            "unfinished": False,
        }
        for cohort in shown
        for days in REPURCHASE_WINDOWS
    )
    days = max(row.window_days for row in mature)
    latest = max((row for row in mature if row.window_days == days), key=lambda row: row.cohort_month)
    answer = ngettext(
        "Of the %(customers)s customer who first bought in %(month)s, %(percent)s bought again within %(days)s days.",
        "Of the %(customers)s customers who first bought in %(month)s, %(percent)s bought again within %(days)s days.",
        latest.customers,
        customers=number(latest.customers),
        month=full_month(latest.cohort_month),
        percent=percent(latest.repurchase_rate or 0),
        days=days,
    )
    return Figure(
        "repurchase",
        rows,
        _(
            "Lines of the share of each month's new customers who bought again within 30, 60 and 90 days, %(months)s. "
            "%(answer)s",
            months=span(shown[0], shown[-1]),
            answer=answer,
        ),
        answer,
        _("The picture shows the latest %(months)s months.", months=MAX_COHORTS) if shown[0] > cohorts[0] else "",
    )


def _from_then_on(first: date, unfinished: date, reason: str) -> str:
    """When a shop whose only month is `first` gets its second, and why the figure needs two."""
    if first >= unfinished:
        return _("From %(day)s on: %(reason)s", day=day(month_after(first)), reason=reason)
    return _("From the next purchase on: %(reason)s", reason=reason)


def _from_when_on(row: CohortWindow) -> str:
    return _(
        "From %(day)s on: %(days)s days after the last of %(month)s's new customers.",
        day=day(row.matures_on),
        days=row.window_days,
        month=month_name(row.cohort_month),
    )


def cohorts(rows: Sequence[CohortMonth], *, unfinished: date) -> Figure:
    """Month 0 retains everybody by definition, so drawing starts with month 1."""
    later = [row for row in rows if row.months_since > 0]
    if not rows:
        return Figure("cohorts", (), _("Nobody has bought yet, so nobody can have stayed."))
    if not later:
        earliest = rows[0].cohort_month
        reason = _("those of %(month)s are the first who can return.", month=full_month(earliest))
        return Figure("cohorts", (), _from_then_on(earliest, unfinished, reason))
    shown = sorted({row.cohort_month for row in later})[-MAX_BOXES:]
    drawn = tuple(
        {
            "cohort": row.cohort_month.isoformat(),
            "label": f"{month(row.cohort_month)} ({number(row.cohort_size)})",
            "since": row.months_since,
            "of_100": round(100 * float(row.retention_rate), 2),
        }
        for row in later
        if row.cohort_month in shown and row.months_since <= MAX_BOXES
    )
    first = [row for row in later if row.months_since == 1]
    size, back = sum(row.cohort_size for row in first), sum(row.active_customers for row in first)
    answer = ""
    if size:
        answer = _(
            "Over all months, %(percent)s bought again in the month after their first purchase.",
            percent=percent(back / size),
        )
    summary = _(
        "A map of how many of each month's new customers bought again, %(months)s. %(answer)s",
        months=span(shown[0], shown[-1]),
        answer=answer,
    )
    is_cut = shown[0] > min(row.cohort_month for row in later) or any(row.months_since > MAX_BOXES for row in later)
    note = ""
    if is_cut:
        note = _(
            "The picture shows the latest %(limit)s cohorts and the first %(limit)s months of each.", limit=MAX_BOXES
        )
    how = _("Each box: how many of 100 bought again 1, 2, 3… months later.")
    return Figure("cohorts", drawn, summary.strip(), f"{how} {answer}".strip(), note)


def lifetime_values(rows: Sequence[LifetimeValueMonth], windows: Sequence[CohortWindow], *, currency: str) -> Figure:
    """A curve for each cohort, over the months that are over; the sentence compares customers of the same age."""
    if not rows:
        return Figure("lifetime-values", (), _("Nobody has bought yet, so nobody is worth anything yet."))
    mature = [row for row in rows if row.net_per_customer is not None]
    if not mature:
        first = min(rows, key=lambda row: row.matures_on)
        return Figure(
            "lifetime-values",
            (),
            _(
                "From %(day)s on: %(month)s is over then.",
                day=day(first.matures_on),
                month=full_month(first.cohort_month),
            ),
        )
    cohorts = sorted({row.cohort_month for row in mature})
    shown = cohorts[-MAX_CURVES:]
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
    note = ""
    if len(cohorts) > MAX_CURVES:
        note = _("The picture shows the latest %(shown)s months of %(all)s.", shown=MAX_CURVES, all=len(cohorts))
    summary = _(
        "A curve for each month of first purchases, %(months)s: the average spent by age.",
        months=span(shown[0], shown[-1]),
    )
    answer = _worth(windows, currency=currency)
    if not answer:
        newest = next(row for row in reversed(mature) if row.months_since == 0)
        answer = _(
            "The customers of %(month)s had each spent %(amount)s on average by the end of that month.",
            month=full_month(newest.cohort_month),
            amount=money(newest.net_per_customer or Decimal(0), currency),
        )
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
    told: dict[str, object] = {"month": full_month(newest.cohort_month), "amount": now, "days": days}
    if newest is oldest:
        return _(
            "The customers of %(month)s had each spent %(amount)s on average %(days)s days after their first purchase.",
            **told,
        )
    return _(
        "The customers of %(month)s had each spent %(amount)s on average %(days)s days after their first purchase; "
        "those of %(earlier)s, %(then)s.",
        **told,
        earlier=full_month(oldest.cohort_month),
        then=then,
    )


_OfCohort = TypeVar("_OfCohort", CohortMonth, LifetimeValueMonth, CohortWindow)


def by_cohort(rows: Sequence[_OfCohort]) -> list[list[_OfCohort]]:
    """The latest cohort first; in each, the earliest month or the shortest window first."""
    cohorts: dict[date, list[_OfCohort]] = {}
    for row in rows:
        cohorts.setdefault(row.cohort_month, []).append(row)
    return [cohorts[month] for month in sorted(cohorts, reverse=True)]
