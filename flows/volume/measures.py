"""The counts of a day, and the sentences about unusual ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

PLATFORM, SMALL_SHOPS = "platform", "small shops"
_GROUPS = {PLATFORM: "all shops together", SMALL_SHOPS: "the small shops together"}

_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of `shop_days`. `what`: its name in a sentence; `remedy`: what to do when it is unusual."""

    column: str
    what: str
    remedy: str
    is_loss: bool = True
    """Whether too few are unusual, as of orders; otherwise too many are."""


ORDERS = Measure(
    "orders", "orders",
    "See whether the storefront is up and still writes to shop_orders; the other counts follow from this one.",
)  # fmt: skip
SALES = Measure("sales", "paid orders", "See whether payments complete: orders came, but they are no sales.")
TRACKED = Measure(
    "tracked_orders", "orders with a known link",
    "See whether checkout still calls `track` or the ingest API: the storefront goes on writing orders, but which link "
    "brought them is lost.",
)  # fmt: skip
UNMATCHED = Measure(
    "unmatched_orders", "orders without a known customer",
    "See `regulars status`: either orders wait to be matched, or phones can't be read; regulars.unreadable_phones has "
    "the reasons.", is_loss=False,
)  # fmt: skip

# Each explains those after it.
MEASURES = (ORDERS, SALES, TRACKED, UNMATCHED)


@dataclass(frozen=True, slots=True)
class Unusual:
    """A count that is far from what was expected. `subject`: a shop's id, PLATFORM or SMALL_SHOPS; `shops`: slugs."""

    measure: Measure
    subject: str
    day: date
    shops: tuple[str, ...]
    found: int
    expected: float


def describe(found: Iterable[Unusual]) -> list[str]:
    """A sentence for each day and measure, which names the shops, and what to do."""
    ordered = sorted(found, key=lambda one: (one.day, MEASURES.index(one.measure)))
    return [
        f"{summarize(list(group))} {measure.remedy}"
        for (_, measure), group in groupby(ordered, key=lambda one: (one.day, one.measure))
    ]


def summarize(found: Sequence[Unusual]) -> str:
    """One day and measure in a sentence: all shops, the small ones and each shop, the largest differences first."""
    measure, day = found[0].measure, found[0].day
    ordered = sorted(found, key=lambda one: (one.subject not in _GROUPS, -abs(one.expected - one.found)))
    named = [found_and_expected(one) for one in ordered[:_MOST_NAMED]]
    if more := len(ordered) - len(named):
        named.append(f"and {more:,} more")
    direction = "fewer" if measure.is_loss else "more"
    return f"{day:%A}, {day}: far {direction} {measure.what} than in previous weeks: {'; '.join(named)}."


def found_and_expected(one: Unusual) -> str:
    """Who it is, how many there were, and how many were expected after previous weeks."""
    who = _GROUPS.get(one.subject)
    among = f" (most of it at {', '.join(one.shops)})" if who and one.shops else ""
    return f"{who or ', '.join(one.shops)} {one.found:,} where {one.expected:,.0f} were expected{among}"
