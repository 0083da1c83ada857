"""The date control of a page: the query, the days that it means, and the addresses that change it."""

from dataclasses import dataclass

from pydantic import ConfigDict, Field

from ingest.storage.connections import Connection
from regulars.dashboard.language.catalogue import N_
from regulars.dashboard.pages import comparisons
from regulars.dashboard.pages.formatting import span
from regulars.dashboard.queries import period_numbers
from regulars.dashboard.queries.periods import Against, Kind, Period, PeriodQuery, Span
from regulars.dashboard.schemas import Shop

MAX_BARS = 92
"""Days in the picture of the days."""

CHOICES: tuple[tuple[Kind, str], ...] = (
    ("7", N_("7 days")),
    ("30", N_("30 days")),
    ("90", N_("90 days")),
    ("month", N_("Month")),
    ("year", N_("Year")),
)


class PagePeriod(PeriodQuery):
    # An app that counts clicks may have added a parameter to the address.
    model_config = ConfigDict(extra="ignore")

    shop: str | None = Field(None, max_length=200)


def open_control(connection: Connection, shop: Shop, parameters: PagePeriod) -> "Control":
    """Raises NotCountedYet."""
    query = PeriodQuery.model_validate(parameters.model_dump(include=set(PeriodQuery.model_fields)))
    return Control(query, period_numbers.period_of(connection, shop, query))


@dataclass(frozen=True, slots=True)
class Control:
    query: PeriodQuery
    period: Period

    @property
    def parameters(self) -> dict[str, str]:
        """The part of an address that keeps the period; nothing for the default."""
        return self.query.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=set(_FIELDS))

    @property
    def span(self) -> Span:
        """The days that the numbers cover; where they cover none, those asked for."""
        return self.period.covered or self.period.span

    @property
    def title(self) -> str:
        return comparisons.title(self.period)

    @property
    def days(self) -> str:
        """The days that are covered: "1 to 25 Nov 2026"."""
        return span(self.span.first, self.span.last)

    def to_kind(self, kind: Kind) -> dict[str, str | None]:
        """The parameters of another period, compared in the same way."""
        against = None if self.query.against == "before" else self.query.against
        return {"period": None if kind == "month" else kind, "against": against}

    def to_against(self, against: Against) -> dict[str, str | None]:
        """The parameters of this period, compared in another way."""
        return self.parameters | {"against": None if against == "before" else against}


def drawn(period: Period) -> tuple[Span | None, int, bool]:
    """The days of the picture, how many of them are compared ones, and whether it leaves days out."""
    shown = period.covered
    if shown is None:
        return None, 0, False
    if shown.days > MAX_BARS:
        return Span(shown.last.fromordinal(shown.last.toordinal() - MAX_BARS + 1), shown.last), 0, True
    first = period.span.first if period.compared is None else period.compared.first
    together = Span(first, shown.last)
    if period.against == "year" or together.days > MAX_BARS:
        return shown, 0, False
    return together, (shown.first - first).days, False


_FIELDS = ("period", "against", "from_", "to")
