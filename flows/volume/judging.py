"""Whether a day's count is far from the same weekday's in previous weeks.

The distance is the modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (ASQC Quality Press,
1993), 0.6745 (x - median) / MAD; more than 3.5 is far. Counts vary by chance, at least as a Poisson variable does,
whose MAD is 0.6745 times the root of its median: even for eight equal weeks, no smaller MAD is used. So for a shop with
a median of 12 or less, or an erratic one, even a day with 0 isn't far: such shops are judged together.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from statistics import median

from flows.volume.measures import MEASURES, ORDERS, PLATFORM, SMALL_SHOPS, Measure, Unusual

WEEKS = 8
MOST_WEEKS_BACK = 26
_FEWEST_WEEKS = 4

_FAR = 3.5
# A far count may differ by a small share for a large shop, or by a few orders for a small one.
_LOW_RATIO = 0.6
_HIGH_RATIO = 2
_FEWEST_IN_EXCESS = 10

_MOST_NAMED = 5

Counts = Mapping[date, Mapping[str, int]]
"""For each day, the count of each measure's column."""

Known = Collection[tuple[str, str, date]]
"""Which counts were unusual: column, subject, day. Nothing is compared with them."""


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop. `key`: its id; `last_day`: its last day that is over. `days` begins with its first order."""

    key: str
    slug: str
    last_day: date
    days: Counts


def modified_z_score(found: float, past: Sequence[float]) -> float:
    """How far a count is from the median of past ones, in their usual deviations."""
    expected = median(past)
    deviation = median(abs(count - expected) for count in past)
    return 0.6745 * (found - expected) / max(deviation, 0.6745 * sqrt(max(expected, 1)))


def is_far_below(found: float, past: Sequence[float]) -> bool:
    """Whether a count is far below past ones, and at most 60 % of their median."""
    return found <= _LOW_RATIO * median(past) and modified_z_score(found, past) < -_FAR


def is_far_above(found: float, past: Sequence[float]) -> bool:
    """Whether a count is far above past ones, at least twice their median, and 10 or more."""
    return found >= max(_FEWEST_IN_EXCESS, _HIGH_RATIO * median(past)) and modified_z_score(found, past) > _FAR


def days_to_judge(shops: Sequence[Shop], *, days: int) -> dict[str, list[date]]:
    """For each subject, the days to judge: the last `days`, up to the last that is over in every shop."""
    common = min((shop.last_day for shop in shops), default=date.min)
    first = common - timedelta(days - 1)
    ends = {shop.key: shop.last_day for shop in shops} | dict.fromkeys((PLATFORM, SMALL_SHOPS), common)
    return {key: [first + timedelta(each) for each in range((end - first).days + 1)] for key, end in ends.items()}


def judge(shops: Sequence[Shop], to_judge: Mapping[str, Sequence[date]], known: Known) -> list[Unusual]:
    """The unusual counts: of each shop that can be judged alone, of the others together, and of all."""
    return [
        unusual
        for day in sorted({day for days in to_judge.values() for day in days})
        for unusual in _judge_day(
            day,
            [shop for shop in shops if day in to_judge[shop.key] and day in shop.days],
            known,
            is_common=day in to_judge[PLATFORM],
        )
    ]


def _judge_day(day: date, shops: Sequence[Shop], known: Known, *, is_common: bool) -> Iterator[Unusual]:
    without_orders: set[str] = set()
    for measure in MEASURES:
        past = {shop.key: _past(measure, shop.key, shop.days, day, known) for shop in shops}
        small: list[Shop] = []
        subjects: list[tuple[str, tuple[str, ...], Counts, list[float]]] = []
        for shop in shops:
            if _stands_alone(measure, past[shop.key], shop.days[day]):
                subjects.append((shop.key, (shop.slug,), shop.days, past[shop.key]))
            else:
                small.append(shop)
        for key, members in ((PLATFORM, shops), (SMALL_SHOPS, small)):
            # A single shop isn't a group.
            if is_common and len(members) > 1:
                days = _added_up(members, day)
                worst = _most_affected(measure, members, day, past)
                subjects.append((key, worst, days, _past(measure, key, days, day, known)))
        for key, slugs, days, before in subjects:
            found = days[day][measure.column]
            # Missing orders explain all other missing counts.
            if key not in without_orders and len(before) >= _FEWEST_WEEKS and _is_far(measure, found, before):
                yield Unusual(measure, key, day, slugs, found, median(before))
                if measure is ORDERS:
                    without_orders.add(key)


def _past(measure: Measure, key: str, days: Counts, day: date, known: Known) -> list[float]:
    """The weekday's last eight counts that were not unusual; where too many are unusual, what the same share of the
    day's orders would come to."""
    past: list[float] = []
    for weeks in range(1, MOST_WEEKS_BACK + 1):
        earlier = day - timedelta(weeks=weeks)
        counts = days.get(earlier)
        if counts is None or (measure.column, key, earlier) in known or (ORDERS.column, key, earlier) in known:
            continue
        if measure.is_loss:
            past.append(counts[measure.column])
        elif counts[ORDERS.column]:
            past.append(days[day][ORDERS.column] * counts[measure.column] / counts[ORDERS.column])
        if len(past) == WEEKS:
            break
    return past


def _stands_alone(measure: Measure, past: Sequence[float], counts: Mapping[str, int]) -> bool:
    """Whether the worst possible day would be far, so the shop is large and even enough to be judged alone."""
    worst = 0 if measure.is_loss else counts[ORDERS.column]
    return len(past) >= _FEWEST_WEEKS and _is_far(measure, worst, past)


def _is_far(measure: Measure, found: float, past: Sequence[float]) -> bool:
    return is_far_below(found, past) if measure.is_loss else is_far_above(found, past)


def _added_up(shops: Sequence[Shop], day: date) -> Counts:
    summed: dict[date, dict[str, int]] = {}
    for shop in shops:
        for each, counts in shop.days.items():
            if each.weekday() == day.weekday():
                there = summed.setdefault(each, dict.fromkeys(counts, 0))
                for column, count in counts.items():
                    there[column] += count
    return summed


def _most_affected(
    measure: Measure, shops: Sequence[Shop], day: date, past: Mapping[str, Sequence[float]]
) -> tuple[str, ...]:
    """The slugs of the shops that are farthest below or above their expected counts."""
    gaps = {shop.slug: median(past[shop.key]) - shop.days[day][measure.column] for shop in shops if past[shop.key]}
    if not measure.is_loss:
        gaps = {slug: -gap for slug, gap in gaps.items()}
    return tuple(sorted((slug for slug, gap in gaps.items() if gap > 0), key=lambda slug: -gaps[slug])[:_MOST_NAMED])
