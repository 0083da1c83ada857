"""What customers do over time, by the owners' API: each number is the one that Python counts from the orders."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from tests.api import Api, assert_head, month_after, months_of
from tests.owners import Order, Shop, rounded

SHOPS = ["ama-data", "ama-more", "kofi-data"]
WINDOWS = [30, 60, 90, 180, 365]


@pytest.fixture(params=SHOPS)
def shop(api: Api, request: pytest.FixtureRequest) -> Shop:
    return api.owners.shops[request.param]


def _today(shop: Shop) -> date:
    return shop.day(datetime.now(UTC))


def _last_sale(shop: Shop) -> datetime:
    """A moment at which the shop's last month and last windows are not over, whichever day it is."""
    return shop.sales[-1].at


def _rate(numerator: int, denominator: int) -> Decimal | None:
    return rounded(Decimal(numerator) / denominator, "0.0001") if denominator else None


def _each(amount: Decimal | int, customers: int) -> Decimal:
    return rounded(Decimal(amount) / customers, "0.01")


def _net(orders: list[Order]) -> Decimal:
    return sum((order.total for order in orders), Decimal(0))


def _sums(sales: list[Order], refunds: list[Order]) -> dict[str, Any]:
    return {
        "purchases": len(sales),
        "gross_amount": _net(sales) + _net(refunds),
        "refunded_amount": _net(refunds),
        "net_amount": _net(sales),
        "profit_amount": sum((order.profit for order in sales), Decimal(0)),
    }


def _cohorts(shop: Shop) -> dict[date, dict[str, list[Order]]]:
    """First month → the sales of each of its customers."""
    cohorts: dict[date, dict[str, list[Order]]] = defaultdict(dict)
    for phone, sales in shop.buyers.items():
        cohorts[shop.month(sales[0].at)][phone] = sales
    return dict(sorted(cohorts.items()))


def _refunds(shop: Shop, buyers: dict[str, list[Order]]) -> list[tuple[date, date, Order]]:
    """First day, day and order of each refund of these customers; one from before the first purchase has its day."""
    firsts = {phone: shop.day(sales[0].at) for phone, sales in buyers.items()}
    return [
        (firsts[order.phone], max(firsts[order.phone], shop.day(order.at)), order)
        for order in shop.orders
        if order.is_refunded and order.phone in firsts
    ]


def test_repeat_rates_are_what_python_counts(api: Api, shop: Shop) -> None:
    firsts = {phone: shop.month(sales[0].at) for phone, sales in shop.buyers.items()}
    expected = []
    for month in months_of(shop):
        in_month = Counter(order.phone for order in shop.sales if shop.month(order.at) == month)
        to_date = Counter(order.phone for order in shop.sales if shop.month(order.at) <= month)
        active = len(in_month)
        repeating = sum(to_date[phone] > 1 for phone in in_month)
        lifetime = sum(count > 1 for count in to_date.values())
        twice = sum(count > 1 for count in in_month.values())
        returning = sum(firsts[phone] < month for phone in in_month)
        expected.append(
            {
                "month": month.isoformat(),
                "customers": active,
                "repeat_customers": repeating,
                "repeat_rate": _rate(repeating, active),
                "repeat_customers_to_date": lifetime,
                "customers_to_date": len(to_date),
                "lifetime_repeat_rate": _rate(lifetime, len(to_date)),
                "two_purchase_customers": twice,
                "in_month_repeat_rate": _rate(twice, active),
                "returning_customers": returning,
                "returning_share": _rate(returning, active),
            }
        )
    answer = api.read("repeat-rates", shop)
    assert_head(answer, shop)
    assert answer["months"] == expected


def test_movement_is_what_python_counts_and_adds_up(api: Api, shop: Shop) -> None:
    firsts = {phone: shop.month(sales[0].at) for phone, sales in shop.buyers.items()}
    expected, before = [], set[str]()
    for month in months_of(shop):
        active = {order.phone for order in shop.sales if shop.month(order.at) == month}
        new = {phone for phone in active if firsts[phone] == month}
        expected.append(
            {
                "month": month.isoformat(),
                "active_customers": len(active),
                "new_customers": len(new),
                "retained_customers": len(active & before),
                "reactivated_customers": len(active - before - new),
                "lapsed_customers": len(before - active),
            }
        )
        before = active
    answer = api.read("movement", shop)
    assert_head(answer, shop)
    assert answer["months"] == expected
    for earlier, later in pairwise(answer["months"]):
        came = later["new_customers"] + later["reactivated_customers"]
        assert later["active_customers"] == earlier["active_customers"] - later["lapsed_customers"] + came


def test_lifetime_values_are_what_python_counts_and_averages_wait_for_the_months_end(api: Api, shop: Shop) -> None:
    today, months, expected = shop.day(_last_sale(shop)), months_of(shop), []
    for cohort, buyers in _cohorts(shop).items():
        refunds = _refunds(shop, buyers)
        for since, month in enumerate(months[months.index(cohort) :]):
            sales_to_date = [o for sales in buyers.values() for o in sales if shop.month(o.at) <= month]
            to_date = _sums(sales_to_date, [o for _, day, o in refunds if day.replace(day=1) <= month])
            in_month = _sums(
                [order for order in sales_to_date if shop.month(order.at) == month],
                [order for _, day, order in refunds if day.replace(day=1) == month],
            )
            is_mature, customers = today >= month_after(month), len(buyers)
            expected.append(
                {
                    "cohort_month": cohort.isoformat(),
                    "months_since": since,
                    "matures_on": month_after(month).isoformat(),
                    "is_mature": is_mature,
                    "customers": customers,
                    **in_month,
                    **{f"{name}_to_date": value for name, value in to_date.items()},
                    "purchases_per_customer": _each(to_date["purchases"], customers) if is_mature else None,
                    "net_per_customer": _each(to_date["net_amount"], customers) if is_mature else None,
                    "profit_per_customer": _each(to_date["profit_amount"], customers) if is_mature else None,
                }
            )
    with api.at(_last_sale(shop)) as then:
        answer = then.read("lifetime-values", shop)
    assert_head(answer, shop)
    assert answer["cohorts"] == expected
    assert {row["is_mature"] for row in answer["cohorts"]} == {True, False}


def test_cohort_windows_are_what_python_counts_and_rates_wait_for_the_last_customer(api: Api, shop: Shop) -> None:
    today, expected = shop.day(_last_sale(shop)), []
    for cohort, buyers in _cohorts(shop).items():
        first = {phone: shop.day(sales[0].at) for phone, sales in buyers.items()}
        refunds, customers = _refunds(shop, buyers), len(buyers)
        for days in WINDOWS:
            sales = [o for s in buyers.values() for o in s if (shop.day(o.at) - first[o.phone]).days <= days]
            refunded = [order for began, day, order in refunds if (day - began).days <= days]
            repeating = sum(count > 1 for count in Counter(order.phone for order in sales).values())
            matures_on = max(first.values()) + timedelta(days=days + 1)
            is_mature, sums = today >= matures_on, _sums(sales, refunded)
            expected.append(
                {
                    "cohort_month": cohort.isoformat(),
                    "window_days": days,
                    "matures_on": matures_on.isoformat(),
                    "is_mature": is_mature,
                    "customers": customers,
                    "repeat_customers": repeating,
                    "repurchase_rate": _rate(repeating, customers) if is_mature else None,
                    **sums,
                    "net_per_customer": _each(sums["net_amount"], customers) if is_mature else None,
                    "profit_per_customer": _each(sums["profit_amount"], customers) if is_mature else None,
                }
            )
    with api.at(_last_sale(shop)) as then:
        answer = then.read("cohort-windows", shop)
    assert_head(answer, shop)
    assert answer["cohorts"] == expected
    assert {row["is_mature"] for row in answer["cohorts"]} == {True, False}


def test_a_window_matures_when_its_day_comes_without_a_refresh(api: Api) -> None:
    shop = api.owners.shops["ama-data"]
    before = api.read("cohort-windows", shop)
    due = date.fromisoformat(max(row["matures_on"] for row in before["cohorts"]))
    midnight = datetime.combine(due, time(), shop.zone)
    for moment, is_over in ((midnight, True), (midnight - timedelta(seconds=1), False)):
        with api.at(moment) as then:
            answer = then.read("cohort-windows", shop)
        assert answer["as_of"] == before["as_of"]
        assert all(row["is_mature"] for row in answer["cohorts"]) == is_over
        assert all(row["repurchase_rate"] is not None for row in answer["cohorts"]) == is_over


def _link(order: Order) -> str:
    return order.slug or "unknown"


def test_links_are_a_funnel_with_the_touches_that_python_counts(api: Api, shop: Shop) -> None:
    visits = Counter(shop.empty_visits)
    visits.update(_link(order) for order in shop.orders if order.has_visit)
    answer = api.read("links", shop)
    assert_head(answer, shop)
    found = {row["link"]: row for row in answer["links"]}
    assert set(found) == {_link(order) for order in shop.orders} | set(visits)
    for link in found:
        sales = [order for order in shop.sales if _link(order) == link]
        converted = sum(order.has_visit for order in sales)
        brought = [buyer for buyer in shop.buyers.values() if _link(buyer[0]) == link]
        expected = {
            "link": link,
            "current_slug": None,
            "former_slugs": None,
            "visits": visits[link],
            "converted_visits": converted,
            "conversion_rate": _rate(converted, visits[link]),
            "orders": sum(_link(order) == link for order in shop.orders),
            "sales": len(sales),
            "new_customers": len(brought),
            "returning_customers": len({order.phone for order in sales} - {buyer[0].phone for buyer in brought}),
            "last_touch_net_amount": _net(sales),
            "first_touch_net_amount": _net([order for buyer in brought for order in buyer]),
        }
        for days in (30, 90, 365):
            later = {
                buyer[0].phone: [o for o in buyer[1:] if (shop.day(o.at) - shop.day(buyer[0].at)).days <= days]
                for buyer in brought
            }
            mature = [
                buyer[0].phone
                for buyer in brought
                if _today(shop) >= month_after(shop.month(buyer[0].at)) + timedelta(days=days)
            ]
            expected[f"later_net_amount_{days}"] = _net([order for orders in later.values() for order in orders])
            expected[f"mature_customers_{days}"] = len(mature)
            known = _net([order for phone in mature for order in later[phone]])
            expected[f"later_net_per_customer_{days}"] = _each(known, len(mature)) if mature else None
        assert found[link] == expected
    for touch in ("first_touch_net_amount", "last_touch_net_amount"):
        assert sum(row[touch] for row in answer["links"]) == _net(shop.sales)
    assert [row["last_touch_net_amount"] for row in answer["links"]] == sorted(
        (row["last_touch_net_amount"] for row in answer["links"]), reverse=True
    )


def test_campaigns_are_what_python_counts(api: Api, shop: Shop) -> None:
    def campaign(order: Order) -> tuple[str, ...]:
        return tuple(name or "unknown" for name in order.campaign)

    answer = api.read("campaigns", shop)
    assert_head(answer, shop)
    names = ("utm_source", "utm_medium", "utm_campaign")
    found = {tuple(row[name] for name in names): row for row in answer["campaigns"]}
    unknown = ("unknown", "unknown", "unknown")
    assert set(found) == {campaign(order) for order in shop.orders} | {unknown}
    assert len(found) == 3
    for key, row in found.items():
        sales = [order for order in shop.sales if campaign(order) == key]
        visits = sum(order.has_visit and campaign(order) == key for order in shop.orders)
        visits += shop.empty_visits.total() if key == unknown else 0
        converted = sum(order.has_visit for order in sales)
        brought = [buyer for buyer in shop.buyers.values() if campaign(buyer[0]) == key]
        assert row == {
            **dict(zip(names, key, strict=True)),
            "visits": visits,
            "converted_visits": converted,
            "conversion_rate": _rate(converted, visits),
            "orders": sum(campaign(order) == key for order in shop.orders),
            "sales": len(sales),
            "new_customers": len(brought),
            "last_touch_net_amount": _net(sales),
            "first_touch_net_amount": _net([order for buyer in brought for order in buyer]),
        }


def test_networks_and_switches_between_them_are_what_python_counts(api: Api, shop: Shop) -> None:
    expected = []
    for month in months_of(shop):
        sales = [order for order in shop.sales if shop.month(order.at) == month]
        active = {order.phone for order in sales}
        for network in {order.network for order in sales}:
            of_network = [order for order in sales if order.network == network]
            buyers = len({order.phone for order in of_network})
            expected.append(
                {
                    "month": month.isoformat(),
                    "network": network or "unknown",
                    "sales": len(of_network),
                    "net_amount": _net(of_network),
                    "active_customers": buyers,
                    "share_of_sales": _rate(len(of_network), len(sales)),
                    "share_of_customers": _rate(buyers, len(active)),
                }
            )
    answer = api.read("networks", shop)
    assert_head(answer, shop)
    assert answer["months"] == sorted(expected, key=lambda row: (row["month"], -row["sales"], row["network"]))
    switches: Counter[tuple[str, str, str]] = Counter()
    for sales in shop.buyers.values():
        bought: Counter[str] = Counter()
        main: str | None = None
        for order in sales:
            if order.network is None:
                continue
            bought[order.network] += 1
            if main is not None and order.network != main and bought[order.network] >= bought[main]:
                switches[shop.month(order.at).isoformat(), main, order.network] += 1
                main = order.network
            main = main or order.network
    found = {(row["month"], row["from_network"], row["to_network"]): row["switches"] for row in answer["switches"]}
    assert found == dict(switches)
    assert len(found) == len(answer["switches"])
