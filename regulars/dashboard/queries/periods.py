"""The one date control: which days a page or an answer is about, and which earlier days they are compared with."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from regulars.dashboard.queries.filters import none_if_blank

Kind = Literal["7", "30", "90", "month", "year", "custom"]
Against = Literal["before", "year"]

MAX_DAYS = 3660


def _day(value: object) -> object:
    """A day as 2026-03-14 and in no other form: pydantic would also take a count of seconds."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("is not a day such as 2026-03-14")
    return value


Day = Annotated[date | None, BeforeValidator(_day), BeforeValidator(none_if_blank)]


class PeriodQuery(BaseModel):
    """The days asked for. An unknown field raises."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    period: Kind = Field(
        "month",
        description="7, 30 or 90: so many whole days up to the day before as_of. month and year: the current one so "
        "far. custom: the days from `from` to `to`.",
    )
    against: Against = Field("before", description="before: the period before; year: the same days of the year before.")
    from_: Day = Field(None, alias="from", description="The first day of a custom period.")
    to: Day = Field(None, description="The last day of a custom period.")

    @model_validator(mode="after")
    def _custom_has_days(self) -> Self:
        if self.period == "custom":
            if self.from_ is None or self.to is None:
                raise ValueError("custom needs both from and to")
            if not date(2000, 1, 1) <= self.from_ <= self.to <= date(2200, 1, 1):
                raise ValueError("from and to are not two days in this order")
            if (self.to - self.from_).days >= MAX_DAYS:
                raise ValueError(f"from and to are more than {MAX_DAYS} days apart")
        return self


@dataclass(frozen=True, slots=True)
class Span:
    """Local days, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def first_month(self) -> date:
        return self.first.replace(day=1)

    @property
    def last_month(self) -> date:
        return self.last.replace(day=1)


@dataclass(frozen=True, slots=True)
class Period:
    kind: Kind
    against: Against
    span: Span
    """The requested days; those after `covered` are in the future or not counted yet."""
    covered: Span | None
    """The days of the span that the numbers cover, including the unfinished day of `as_of`; None if there are none."""
    compared: Span | None
    """The earlier days: for an unfinished period, only as many as are over; None if there are none."""
    counted: Span | None
    """The whole days of the span, which are compared with `compared`: equally many, except around 29 February."""


def resolve(query: PeriodQuery, *, today: date) -> Period:
    """`today`: the shop's local day of `as_of`, which is not over."""
    yesterday = today - timedelta(days=1)
    span = _span(query, today=today, yesterday=yesterday)
    covered = Span(span.first, min(span.last, today)) if span.first <= today else None
    counted = Span(span.first, min(span.last, yesterday)) if span.first <= yesterday else None
    compared = None
    if counted is not None:
        compared = _year_earlier(counted) if query.against == "year" else _before(query.period, span, counted)
    return Period(query.period, query.against, span, covered, compared, counted)


def _span(query: PeriodQuery, *, today: date, yesterday: date) -> Span:
    if query.period == "month":
        return Span(today.replace(day=1), _month_end(today))
    if query.period == "year":
        return Span(today.replace(month=1, day=1), today.replace(month=12, day=31))
    if query.period == "custom" and query.from_ and query.to:
        return Span(query.from_, query.to)
    return Span(yesterday - timedelta(days=int(query.period) - 1), yesterday)


def _before(kind: Kind, span: Span, counted: Span) -> Span:
    if kind == "year":
        return _year_earlier(counted)
    if kind == "month":
        last = span.first - timedelta(days=1)
        first = last.replace(day=1)
        return Span(first, min(last, first + timedelta(days=counted.days - 1)))
    # As many days before as the period has, up to those that are over.
    first = span.first - timedelta(days=span.days)
    return Span(first, first + timedelta(days=counted.days - 1))


def _year_earlier(span: Span) -> Span:
    return Span(_one_year_earlier(span.first), _one_year_earlier(span.last))


def _one_year_earlier(day: date) -> date:
    is_leap_day = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year - 1, day=28) if is_leap_day else day.replace(year=day.year - 1)


def _month_end(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
