"""The first ten answers of docs/questions.md, counted from the orders."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal

from tests.sample_shops import Row, SampleShops, percentage, percentile, purchases, rounded


def which_link_brings_those_who_come_back(sample: SampleShops) -> Iterator[Row]:
    for shop, _, orders in sample.shops():
        last = max(order.day for order in orders)
        customers: Counter[str] = Counter()
        came_back: Counter[str] = Counter()
        for bought in purchases(orders).values():
            first, *later = bought
            if first.day <= last - timedelta(days=60):
                customers[first.slug] += 1
                came_back[first.slug] += any(order.day <= first.day + timedelta(days=60) for order in later)
        for slug, count in customers.items():
            yield shop, slug, count, came_back[slug], percentage(came_back[slug], count)


def who_of_march_bought_again(sample: SampleShops) -> Iterator[Row]:
    # Three months from each day of March, as a calendar counts them.
    ends = {date(2026, 3, day): date(2026, 6, min(day, 30)) for day in range(1, 32)}
    for shop, _, orders in sample.shops():
        new = [bought for bought in purchases(orders).values() if bought[0].day in ends]
        again = sum(any(order.day < ends[bought[0].day] for order in bought[1:]) for bought in new)
        yield shop, len(new), again, percentage(again, len(new))


def which_networks_buyers_are_worth_most(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        by_network: dict[str, list[tuple[Decimal, Decimal]]] = defaultdict(list)
        for bought in purchases(orders).values():
            counts = Counter(order.network for order in bought)
            last = {order.network: place for place, order in enumerate(bought)}
            preferred = max(counts, key=lambda network: (counts[network], last[network]))
            spent, profit = (o.net for o in bought), (o.profit for o in bought)
            by_network[preferred].append((sum(spent, Decimal(0)), sum(profit, Decimal(0))))
        for network, customers in by_network.items():
            averages = (rounded(sum(each, Decimal(0)) / len(each), "0.01") for each in zip(*customers, strict=True))
            median = percentile([worth for worth, _ in customers], 0.5)
            yield shop, currency, network, len(customers), median, *averages


def whose_spend_dropped(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        last = max(order.day for order in orders)
        for buyer, bought in purchases(orders).items():
            ages = [((last - order.day).days, order.net) for order in bought]
            before = [net for age, net in ages if 90 <= age < 180]
            lately = sum((net for age, net in ages if age < 90), Decimal(0))
            if len(before) >= 3 and lately * 2 < sum(before):
                yield shop, currency, buyer, sum(before), lately, sum(before) - lately


def how_long_until_the_second(sample: SampleShops) -> Iterator[Row]:
    for shop, _, orders in sample.shops():
        last = max(order.day for order in orders)
        old = [b for b in purchases(orders).values() if b[0].day <= last - timedelta(days=180)]
        waits = [(bought[1].day - bought[0].day).days for bought in old if len(bought) > 1]
        waits = [days for days in waits if days <= 180]
        yield shop, len(old), len(waits), percentile(waits, 0.5), percentile(waits, 0.9)


def what_refunds_cost(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        for month in {order.month for order in orders}:
            gross = [order for order in orders if order.month == month and order.gross]
            refunded = [order.gross for order in gross if not order.is_sale]
            total = sum(order.gross for order in gross)
            yield shop, currency, month, len(refunded), total, sum(refunded), percentage(sum(refunded), total)


def who_relies_on_a_handful(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        spent = sorted((sum(o.net for o in bought) for bought in purchases(orders).values()), reverse=True)
        yield shop, currency, len(spent), sum(spent[:5]), sum(spent), percentage(sum(spent[:5]), sum(spent))


def at_what_hour_people_buy(sample: SampleShops) -> Iterator[Row]:
    for shop, _, orders in sample.shops():
        hours = Counter(order.hour for order in orders if order.is_sale)
        for hour, count in hours.items():
            yield shop, hour, count, percentage(count, hours.total())


def which_campaigns_visits_end_in_a_sale(sample: SampleShops) -> Iterator[Row]:
    sold = {order.order_id: order.net for order in sample.orders if order.is_sale}
    for shop in sample.data.shops:
        visits = {visit.visit_id: visit.utm_source or "untagged" for visit in shop.visits}
        tracked = [order.checkout for order in shop.orders if order.calls]
        opened = Counter(visits.values())
        opened["untagged"] += sum(checkout.visit_id is None for checkout in tracked)
        sales: Counter[str] = Counter()
        net: dict[str, Decimal] = defaultdict(Decimal)
        for checkout in tracked:
            source = visits[checkout.visit_id] if checkout.visit_id else "untagged"
            sales[source] += checkout.order_id in sold
            net[source] += sold.get(checkout.order_id, Decimal(0))
        for source, count in opened.items():
            share = percentage(sales[source], count)
            yield shop.slug, shop.currency, source, count, sales[source], share, net[source]


def where_growth_comes_from(sample: SampleShops) -> Iterator[Row]:
    for shop, currency, orders in sample.shops():
        first = {buyer: bought[0].month for buyer, bought in purchases(orders).items()}
        sales = [order for order in orders if order.is_sale]
        for month in {order.month for order in sales}:
            parts = {"new": Decimal(0), "returning": Decimal(0), "unknown": Decimal(0)}
            for order in sales:
                if order.month == month:
                    of_known = "new" if order.buyer and first[order.buyer] == month else "returning"
                    parts[of_known if order.buyer else "unknown"] += order.net
            yield shop, currency, month, sum(parts.values()), *parts.values()


ANSWERS: list[Callable[[SampleShops], Iterator[Row]]] = [
    which_link_brings_those_who_come_back,
    who_of_march_bought_again,
    which_networks_buyers_are_worth_most,
    whose_spend_dropped,
    how_long_until_the_second,
    what_refunds_cost,
    who_relies_on_a_handful,
    at_what_hour_people_buy,
    which_campaigns_visits_end_in_a_sale,
    where_growth_comes_from,
]
