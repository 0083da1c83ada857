"""The further answers of docs/questions.md, counted from the orders."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from math import ceil
from uuid import UUID

from regulars.demo.sample_data import Shop
from tests.sample_shops import Order, Row, SampleShops, campaign_of, percentage, percentile, purchases, rounded


def _next_month(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=31)).replace(day=1)


def _cohorts(orders: list[Order]) -> dict[date, list[list[Order]]]:
    """Each customer's purchases, by the month of the first."""
    cohorts: dict[date, list[list[Order]]] = defaultdict(list)
    for bought in purchases(orders).values():
        cohorts[bought[0].month].append(bought)
    return cohorts


def _mature_cohorts(
    sample: SampleShops, shop: str, orders: list[Order], days: int
) -> Iterator[tuple[date, list[list[Order]]]]:
    """Month, and each customer's purchases in the window, for months of which everybody has had it."""
    for month, cohort in _cohorts(orders).items():
        if sample.today(shop) > max(bought[0].day for bought in cohort) + timedelta(days=days):
            yield month, [[o for o in bought if o.day <= bought[0].day + timedelta(days=days)] for bought in cohort]


def who_bought_again_within_90_days(sample: SampleShops) -> Iterator[Row]:
    for shop, _, orders in sample.shops():
        for month, windows in _mature_cohorts(sample, shop, orders, 90):
            again = sum(len(window) > 1 for window in windows)
            yield shop, month, len(windows), again, percentage(again, len(windows))


def how_customers_moved(sample: SampleShops) -> Iterator[Row]:
    for shop, _, orders in sample.shops():
        active: dict[date, set[UUID]] = defaultdict(set)
        first: dict[UUID, date] = {}
        for buyer, bought in purchases(orders).items():
            first[buyer] = bought[0].month
            for order in bought:
                active[order.month].add(buyer)
        after = max(order.day for order in orders) + timedelta(days=1)
        last = (after.replace(day=1) - timedelta(days=1)).replace(day=1)
        before, now = active[(last - timedelta(days=1)).replace(day=1)], active[last]
        new = {buyer for buyer in now if first[buyer] == last}
        retained = now & before
        yield (
            shop, last, len(before), len(before - now), len(new), len(retained), len(now - new - retained), len(now),
        )  # fmt: skip


def what_customers_are_worth_after_half_a_year(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        for month, windows in _mature_cohorts(sample, shop, orders, 180):
            net = sum((order.net for window in windows for order in window), Decimal(0))
            profit = sum((order.profit for window in windows for order in window), Decimal(0))
            averages = (rounded(amount / len(windows), "0.01") for amount in (net, profit))
            yield shop, currency, month, len(windows), *averages


def which_links_win_and_which_remind(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        first: dict[str, Decimal] = defaultdict(Decimal)
        last: dict[str, Decimal] = defaultdict(Decimal)
        links = {buyer: bought[0].link for buyer, bought in purchases(orders).items()}
        for order in orders:
            if order.is_sale:
                last[order.link] += order.net
                first[links[order.buyer] if order.buyer else order.link] += order.net
        opened = {link.label for link in _shop(sample, shop).links}
        for link in opened | {"unknown"}:
            yield shop, currency, link, first[link], last[link]


def how_far_a_campaigns_visitors_get(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        visits = Counter(campaign_of(visit) for visit in _shop(sample, shop).visits)
        tracked = [order for order in _shop(sample, shop).orders if order.calls]
        visits[campaign_of(None)] += sum(order.checkout.visit_id is None for order in tracked)
        converted = {order.checkout.order_id for order in tracked}
        for campaign, opened in visits.items():
            placed = [order for order in orders if order.campaign == campaign]
            sold = [order for order in placed if order.is_sale]
            ended = sum(order.order_id in converted for order in sold)
            new = sum(bought[0].campaign == campaign for bought in purchases(orders).values())
            yield (
                shop, currency, *campaign, opened, ended, percentage(ended, opened), len(placed), len(sold), new,
                sum((order.net for order in sold), Decimal(0)),
            )  # fmt: skip


def between_which_networks_customers_switch(sample: SampleShops) -> Iterator[Row]:
    for shop, _, orders in sample.shops():
        switches: Counter[tuple[str, str]] = Counter()
        for bought in purchases(orders).values():
            counts: Counter[str] = Counter()
            main = bought[0].network
            for order in bought:
                counts[order.network] += 1
                # Of two bought equally often, the one that got there last.
                if order.network != main and counts[order.network] >= counts[main]:
                    switches[main, order.network] += 1
                    main = order.network
        yield from ((shop, *networks, count) for networks, count in switches.items())


def how_many_days_lie_between_purchases(sample: SampleShops) -> Iterator[Row]:
    for shop, _, orders in sample.shops():
        gaps: list[int] = []
        for bought in purchases(orders).values():
            days = sorted({order.day for order in bought})
            gaps += [(later - earlier).days for earlier, later in pairwise(days)]
        yield shop, len(gaps), percentile(gaps, 0.5), percentile(gaps, 0.9)


def what_the_best_tenth_brings(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        spent = sorted((sum(o.net for o in bought) for bought in purchases(orders).values()), reverse=True)
        best = spent[: ceil(len(spent) / 10)]
        yield shop, currency, len(spent), len(best), sum(best), sum(spent), percentage(sum(best), sum(spent))


def who_returned_by_month(sample: SampleShops) -> Iterator[Row]:
    for shop, _, orders in sample.shops():
        bought = purchases(orders)
        for month in {order.month for order in orders if order.is_sale}:
            months = [[order for order in each if order.month == month] for each in bought.values()]
            customers = [each for each, within in zip(bought.values(), months, strict=True) if within]
            returning = sum(each[0].month < month for each in customers)
            twice = sum(len(within) > 1 for within in months)
            shares = (percentage(part, len(customers)) for part in (returning, twice))
            yield shop, month, len(customers), returning, twice, *shares


def what_a_links_customers_buy_later(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        later: dict[str, list[Decimal]] = defaultdict(list)
        for month, cohort in _cohorts(orders).items():
            if sample.today(shop) >= _next_month(month) + timedelta(days=90):
                for first, *others in cohort:
                    within = (o.net for o in others if o.day <= first.day + timedelta(days=90))
                    later[first.link].append(sum(within, Decimal(0)))
        for link, amounts in later.items():
            average = rounded(sum(amounts, Decimal(0)) / len(amounts), "0.01")
            yield shop, currency, link, len(amounts), average


def which_networks_sales_grow(sample: SampleShops) -> Iterator[Row]:
    for shop, _, orders in sample.shops():
        sales = [order for order in orders if order.is_sale]
        by_month = Counter(order.month for order in sales)
        for (month, network), count in Counter((order.month, order.network) for order in sales).items():
            yield shop, month, network, count, percentage(rounded(Decimal(count) / by_month[month], "0.0001"), 1)


def how_a_months_customers_grow_in_worth(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        for first, cohort in _cohorts(orders).items():
            month, since, net = first, 0, Decimal(0)
            while (after := _next_month(month)) <= sample.today(shop) and month <= max(o.month for o in orders):
                net += sum((o.net for bought in cohort for o in bought if o.month == month), Decimal(0))
                if since in (0, 3, 6):
                    yield shop, currency, first, since, len(cohort), rounded(net / len(cohort), "0.01")
                month, since = after, since + 1


def _shop(sample: SampleShops, slug: str) -> Shop:
    (shop,) = (each for each in sample.data.shops if each.slug == slug)
    return shop


ANSWERS: list[Callable[[SampleShops], Iterator[Row]]] = [
    who_bought_again_within_90_days,
    how_customers_moved,
    what_customers_are_worth_after_half_a_year,
    which_links_win_and_which_remind,
    how_far_a_campaigns_visitors_get,
    between_which_networks_customers_switch,
    how_many_days_lie_between_purchases,
    what_the_best_tenth_brings,
    who_returned_by_month,
    what_a_links_customers_buy_later,
    which_networks_sales_grow,
    how_a_months_customers_grow_in_worth,
]
