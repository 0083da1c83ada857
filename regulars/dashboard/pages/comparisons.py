"""The numbers of the chosen period, how each compares with an earlier period, and both in a sentence."""

from dataclasses import dataclass
from decimal import Decimal

from regulars.dashboard import cards
from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.language.catalogue import ngettext, pgettext
from regulars.dashboard.pages import formatting
from regulars.dashboard.pages.formatting import change, day, full_month, money, month_name, number, percent, short_month
from regulars.dashboard.pages.months import Coverage, Month, RecentMonths
from regulars.dashboard.period_schemas import PeriodNumbers
from regulars.dashboard.queries.periods import Against, Period, Span


@dataclass(frozen=True, slots=True)
class Comparison:
    name: str
    label: str
    kind: str
    value: int | Decimal | None
    """None where the numbers cover no day of the period."""
    change: str
    """The month and its change in a few characters; empty where nothing can be compared."""
    sentence: str


def title(period: Period) -> str:
    """The period in words: "November so far", "Last 7 days"."""
    match period.kind:
        case "month":
            return pgettext("title", "%(month)s so far", month=month_name(period.span.first))
        case "year":
            return pgettext("title", "%(year)s so far", year=period.span.first.year)
        case "custom":
            return formatting.span(period.span.first, period.span.last)
    return _("Last %(days)s days", days=period.kind)


def compared_title(period: Period) -> str:
    """The earlier days in words: "the 7 days before"."""
    if period.compared is None:
        return ""
    if period.against == "year" or period.kind == "year":
        return _("the same days of %(year)s", year=period.compared.first.year)
    count = period.compared.days
    return ngettext("the day before", "the %(days)s days before", count, days=number(count))


def by_month(recent: RecentMonths, *, against: Against, currency: str) -> list[Comparison]:
    """This month so far; the change is that of the last whole month, because part of one compares with nothing."""
    return [_of_month(*measure, recent, against, currency) for measure in cards.MONTHLY]


def by_day(period: Period, now: PeriodNumbers | None, then: PeriodNumbers | None, *, currency: str) -> list[Comparison]:
    """`now`: the numbers of `period.counted`; `then`: those of `period.compared`. None where there are no such days."""
    return [_of_days(*measure, period, now, then, currency) for measure in cards.DAILY]


def _of_month(name: str, label: str, kind: str, recent: RecentMonths, against: Against, currency: str) -> Comparison:
    def written(month: Month) -> str:
        return _written(month.figure(name), kind, currency)

    this, last, before = recent.this, recent.last, recent.before
    rate = recent.change(name)
    if this.coverage is Coverage.NONE:
        sentence = _("%(month)s is not counted yet.", month=month_name(this.month))
    else:
        sentence = _("%(month)s so far: %(value)s.", month=month_name(this.month), value=written(this))
    if rate is not None:
        earlier = full_month(before.month) if against == "year" else month_name(before.month)
        sentence += " " + _month_compared(rate, month_name(last.month), earlier)
    elif last.coverage is Coverage.WHOLE:
        sentence += " " + _("%(month)s: %(value)s.", month=month_name(last.month), value=written(last))
    told = f"{short_month(last.month)} {change(rate)}" if rate is not None else ""
    return Comparison(name, _(label), kind, this.figure(name), told, sentence)


def _of_days(
    name: str,
    label: str,
    kind: str,
    period: Period,
    now: PeriodNumbers | None,
    then: PeriodNumbers | None,
    currency: str,
) -> Comparison:
    if now is None or period.counted is None:
        return Comparison(name, _(label), kind, None, "", _("No day of this period is over yet."))
    value: int | Decimal = getattr(now, name)
    told: dict[str, object] = {"days": title(period), "value": _written(value, kind, currency)}
    if period.counted.last == period.span.last:
        sentence = pgettext("period", "%(days)s: %(value)s.", **told)
    else:
        sentence = _("%(days)s, until %(day)s: %(value)s.", **told, day=day(period.counted.last))
    if then is None:
        return Comparison(name, _(label), kind, value, "", sentence)
    base: int | Decimal = getattr(then, name)
    earlier, written = compared_title(period), _written(base, kind, currency)
    if base <= 0:
        before = pgettext("period", "%(days)s: %(value)s.", days=earlier[0].upper() + earlier[1:], value=written)
        return Comparison(name, _(label), kind, value, "", f"{sentence} {before}")
    rate = Decimal(value) / Decimal(base) - 1
    return Comparison(name, _(label), kind, value, change(rate), f"{sentence} {_days_compared(rate, earlier, written)}")


def _month_compared(rate: Decimal, month: str, earlier: str) -> str:
    """October was 7% more than September."""
    told: dict[str, object] = {"month": month, "earlier": earlier, "percent": percent(abs(rate), 0)}
    if _is_about_nothing(rate):
        return _("%(month)s was about the same as %(earlier)s.", **told)
    if rate > 0:
        return _("%(month)s was %(percent)s more than %(earlier)s.", **told)
    return _("%(month)s was %(percent)s less than %(earlier)s.", **told)


def _days_compared(rate: Decimal, earlier: str, value: str) -> str:
    """That is 7% more than the 7 days before: 100."""
    told: dict[str, object] = {"earlier": earlier, "value": value, "percent": percent(abs(rate), 0)}
    if _is_about_nothing(rate):
        return _("That is about the same as %(earlier)s: %(value)s.", **told)
    if rate > 0:
        return _("That is %(percent)s more than %(earlier)s: %(value)s.", **told)
    return _("That is %(percent)s less than %(earlier)s: %(value)s.", **told)


def _is_about_nothing(rate: Decimal) -> bool:
    return percent(abs(rate), 0) == percent(0, 0)


def _written(value: int | Decimal | None, kind: str, currency: str) -> str:
    if value is None:
        return _("not known yet")
    return money(Decimal(value), currency) if kind == "money" else number(value)


def months_of(span: Span) -> str:
    """The calendar months that the days touch: "November 2026", "August to November 2026"."""
    first, last = span.first_month, span.last_month
    if first == last:
        return full_month(last)
    begins = month_name(first) if first.year == last.year else full_month(first)
    return pgettext("months", "%(first)s to %(last)s", first=begins, last=full_month(last))
