"""The answers of docs/questions.md about segments, rhythms and forecasts, counted from the orders."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from math import ceil
from statistics import median
from uuid import UUID

from tests.sample_shops import Order, Row, SampleShops, percentage, purchases, rounded
from tests.scores import Grid, Score, score_customers

STATES = ("active", "due", "at risk", "lapsed")

OWN_CELL = (5, 5, "best friends")
"""Recency, value and segment that every sample shop has put into the grid since the first refresh."""

FORECAST_FROM, FORECAST_UNTIL = date(2026, 3, 2), date(2026, 4, 1)
"""The days that `tests.storefront.add_forecasts` predicts: one purchase of 1.00, for each shop."""


def _scores(sample: SampleShops, shop: str, orders: list[Order], grid: Grid) -> dict[UUID, Score]:
    (shop_id,) = (each.shop_id for each in sample.data.shops if each.slug == shop)
    bought = {buyer: [(o.day, o.net) for o in each] for buyer, each in purchases(orders).items()}
    return score_customers(bought, grid, shop=shop_id)


def which_segments_the_customers_are_in(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        scores = list(_scores(sample, shop, orders, sample.grid).values())
        spent = sum((score.spent for score in scores), Decimal(0))
        for segment, customers in Counter(score.segment for score in scores).items():
            net = sum((score.spent for score in scores if score.segment == segment), Decimal(0))
            yield shop, currency, segment, customers, net, percentage(net, spent)


def who_changed_segment(sample: SampleShops) -> Iterator[Row]:
    default = {key: segment for key, segment in sample.grid.items() if key[0] is None}
    for shop, _, orders in sample.shops():
        before = _scores(sample, shop, orders, default)
        after = _scores(sample, shop, orders, sample.grid)
        moves = Counter((before[buyer].segment, score.segment) for buyer, score in after.items())
        yield from ((shop, old, new, count) for (old, new), count in moves.items() if old != new)


def _rhythms(sample: SampleShops, shop: str, orders: list[Order]) -> Iterator[tuple[UUID, str, Decimal]]:
    """Customer, state, and what they were worth in 30 days."""
    bought = purchases(orders)
    days = {buyer: sorted({order.day for order in each}) for buyer, each in bought.items()}
    gaps = {buyer: [(later - day).days for day, later in pairwise(each)] for buyer, each in days.items()}
    of_shop = median(gap for each in gaps.values() for gap in each)
    for buyer, each in bought.items():
        gap = median(gaps[buyer]) if len(each) >= 3 and gaps[buyer] else of_shop
        moments = [days[buyer][-1] + timedelta(days=ceil(gap * times)) for times in (1, 2, 4)]
        net = sum((order.net for order in each), Decimal(0))
        worth = rounded(net * 30 / (moments[0] - days[buyer][0]).days, "0.01")
        yield buyer, STATES[sum(sample.today(shop) >= moment for moment in moments)], worth


def how_many_are_late(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        worth: dict[str, list[Decimal]] = defaultdict(list)
        for _, state, net in _rhythms(sample, shop, orders):
            worth[state].append(net)
        customers = sum(map(len, worth.values()))
        for state, each in worth.items():
            yield shop, currency, state, len(each), percentage(len(each), customers), sum(each)


def which_customers_at_risk_matter(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        segments = _scores(sample, shop, orders, sample.grid)
        worth: dict[str, list[Decimal]] = defaultdict(list)
        for buyer, state, net in _rhythms(sample, shop, orders):
            if state == "at risk":
                worth[segments[buyer].segment if buyer in segments else "none"].append(net)
        for segment, each in worth.items():
            yield shop, currency, segment, len(each), sum(each)


def what_the_customers_will_buy(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, _ in sample.shops():
        yield shop, currency, 30, FORECAST_FROM, FORECAST_FROM - timedelta(days=1), 1, Decimal(1), Decimal(1)


def how_wrong_the_forecast_was(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        known = [bought for bought in purchases(orders).values() if bought[0].day < FORECAST_FROM]
        came = [o for bought in known for o in bought if FORECAST_FROM <= o.day < FORECAST_UNTIL]
        days = len({(order.buyer, order.day) for order in came})
        net = sum((order.net for order in came), Decimal(0))
        errors = (rounded(100 * (1 - Decimal(actual)) / actual, "0.1") for actual in (days, net))
        error, net_error = errors
        yield shop, currency, 30, FORECAST_UNTIL, 1, days, error, 1, net, net_error


def who_will_bring_most(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        # Everybody is expected to bring the same, so the id decides.
        for buyer, bought in sorted(purchases(orders).items())[:5]:
            spent = sum((order.net for order in bought), Decimal(0))
            yield shop, currency, buyer, Decimal("0.5"), Decimal(2), Decimal(2), spent


ANSWERS: list[Callable[[SampleShops], Iterator[Row]]] = [
    which_segments_the_customers_are_in,
    who_changed_segment,
    how_many_are_late,
    which_customers_at_risk_matter,
    what_the_customers_will_buy,
    how_wrong_the_forecast_was,
    who_will_bring_most,
]
