"""What moved in the chosen period: each number, how it compares with an earlier period, and both in a sentence."""

from dataclasses import dataclass
from decimal import Decimal

from regulars.dashboard import cards
from regulars.dashboard.pages import formatting
from regulars.dashboard.pages.formatting import change, day, full_month, money, month_name, number, percent
from regulars.dashboard.pages.months import Coverage, Month, RecentMonths
from regulars.dashboard.period_schemas import PeriodNumbers
from regulars.dashboard.queries.periods import Against, Period, Span


@dataclass(frozen=True, slots=True)
class Moving:
    name: str
    label: str
    kind: str
    value: int | Decimal | None
    """None where the numbers cover no day of the period."""
    change: str
    """Of what, and by how much, in a few characters; empty where nothing can be compared."""
    sentence: str


def title(period: Period) -> str:
    """The period in words: "November so far", "Last 7 days"."""
    match period.kind:
        case "month":
            return f"{month_name(period.span.first)} so far"
        case "year":
            return f"{period.span.first.year} so far"
        case "custom":
            return formatting.span(period.span.first, period.span.last)
    return f"Last {period.kind} days"


def compared_title(period: Period) -> str:
    """The earlier days in words: "the 7 days before"."""
    if period.compared is None:
        return ""
    if period.against == "year" or period.kind == "year":
        return f"the same days of {period.compared.first.year}"
    count = period.compared.days
    return "the day before" if count == 1 else f"the {number(count)} days before"


def by_month(recent: RecentMonths, *, against: Against, currency: str) -> list[Moving]:
    """This month so far; the change is that of the last whole month, because part of one compares with nothing."""
    return [_of_month(*measure, recent, against, currency) for measure in cards.MONTHLY]


def by_day(period: Period, now: PeriodNumbers | None, then: PeriodNumbers | None, *, currency: str) -> list[Moving]:
    """`now`: the numbers of `period.counted`; `then`: those of `period.compared`. None where there are no such days."""
    return [_of_days(*measure, period, now, then, currency) for measure in cards.DAILY]


def _of_month(name: str, label: str, kind: str, recent: RecentMonths, against: Against, currency: str) -> Moving:
    def written(month: Month) -> str:
        return _written(month.figure(name), kind, currency)

    this, last, before = recent.this, recent.last, recent.before
    rate = recent.change(name)
    if this.coverage is Coverage.NONE:
        sentence = f"{month_name(this.month)} is not counted yet."
    else:
        sentence = f"{month_name(this.month)} so far: {written(this)}."
    if rate is not None:
        earlier = full_month(before.month) if against == "year" else month_name(before.month)
        sentence += f" {month_name(last.month)} was {_compared(rate)} {earlier}."
    elif last.coverage is Coverage.WHOLE:
        sentence += f" {month_name(last.month)}: {written(last)}."
    told = f"{last.month:%b} {change(rate)}" if rate is not None else ""
    return Moving(name, label, kind, this.figure(name), told, sentence)


def _of_days(
    name: str,
    label: str,
    kind: str,
    period: Period,
    now: PeriodNumbers | None,
    then: PeriodNumbers | None,
    currency: str,
) -> Moving:
    if now is None or period.counted is None:
        return Moving(name, label, kind, None, "", "No day of this period is over yet.")
    value: int | Decimal = getattr(now, name)
    until = "" if period.counted.last == period.span.last else f", until {day(period.counted.last)}"
    sentence = f"{title(period)}{until}: {_written(value, kind, currency)}."
    if then is None:
        return Moving(name, label, kind, value, "", sentence)
    base: int | Decimal = getattr(then, name)
    earlier, written = compared_title(period), _written(base, kind, currency)
    if base <= 0:
        return Moving(name, label, kind, value, "", f"{sentence} {earlier[0].upper()}{earlier[1:]}: {written}.")
    rate = Decimal(value) / Decimal(base) - 1
    return Moving(name, label, kind, value, change(rate), f"{sentence} That is {_compared(rate)} {earlier}: {written}.")


def _compared(rate: Decimal) -> str:
    """7% more than; 2% less than; about the same as"""
    rounded = percent(abs(rate), 0)
    if rounded == "0%":
        return "about the same as"
    return f"{rounded} {'more' if rate > 0 else 'less'} than"


def _written(value: int | Decimal | None, kind: str, currency: str) -> str:
    if value is None:
        return "not known yet"
    return money(Decimal(value), currency) if kind == "money" else number(value)


def months_of(span: Span) -> str:
    """The calendar months that the days touch: "November 2026", "August to November 2026"."""
    first, last = span.first_month, span.last_month
    if first == last:
        return full_month(last)
    return f"{month_name(first) if first.year == last.year else full_month(first)} to {full_month(last)}"
