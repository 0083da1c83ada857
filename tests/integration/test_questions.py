"""docs/questions.md: an analyst runs every query, and Python counts the answers a second time from the orders."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from math import ceil
from pathlib import Path
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from flows.steps import run_refresh
from ingest.storage.connections import Connection
from regulars.demo.sample_data import SampleData, Shop, make_sample_data
from tests.conftest import NAME, Server
from tests.storefront import fetch

_PAGE = (Path(__file__).parents[2] / "docs" / "questions.md").read_text(encoding="utf-8")
_QUESTIONS = re.findall(r"^## (\d+)\. (.+)\n((?:(?!^## ).*\n)*)", _PAGE, re.MULTILINE)
_SQL = re.compile(r"```sql\n(.*?)```", re.DOTALL)

_Row = tuple[object, ...]
_Value = TypeVar("_Value", int, Decimal)


@dataclass(frozen=True, slots=True)
class Order:
    """An order with the status policy applied; `buyer` is None where the phone can't be read."""

    shop: str
    currency: str
    buyer: UUID | None
    order_id: UUID
    at: datetime
    day: date
    hour: int
    network: str
    slug: str
    is_sale: bool
    gross: Decimal
    profit: Decimal

    @property
    def net(self) -> Decimal:
        return self.gross if self.is_sale else Decimal(0)

    @property
    def month(self) -> date:
        return self.day.replace(day=1)


@dataclass(frozen=True, slots=True)
class Refreshed:
    connection: Connection
    data: SampleData
    orders: list[Order]

    def shops(self) -> Iterator[tuple[str, str, list[Order]]]:
        """Each shop's slug and currency, and its orders by time."""
        for shop in self.data.shops:
            orders = [order for order in self.orders if order.shop == shop.slug]
            yield shop.slug, shop.currency, sorted(orders, key=lambda order: (order.at, order.order_id))


@pytest.fixture(scope="module")
def refreshed(server: Server, migrated_template: str, builds_models: None) -> Iterator[Refreshed]:  # noqa: ARG001
    database, data = server.create(NAME, template=migrated_template), make_sample_data(seed=12)
    with database.connect() as connection:
        for shop in data.shops:
            _write(connection, shop)
    run_refresh(database.settings)
    with database.connect() as connection:
        people = {
            (shop_id, phone): person
            for shop_id, phone, person in fetch(connection, "select shop_id, phone_number, id from regulars.customers")
        }
        orders = [order for shop in data.shops for order in _with_policy(shop, people)]
        connection.execute("set role regulars_analyst; set search_path = ''; set timezone = 'Pacific/Auckland'")
        yield Refreshed(connection, data, orders)
    server.drop(NAME)


def _write(connection: Connection, shop: Shop) -> None:
    """The shop's year in its final state, without ingest: the refresh matches the customers."""
    row = (shop.shop_id, shop.owner_id, shop.name, shop.slug, shop.country, shop.time_zone, shop.currency)
    _copy(connection, "public.user_shops", "id user_id shop_name shop_slug country timezone currency", [row])
    _copy(
        connection,
        "public.shop_orders",
        "id shop_id customer_phone network base_price profit_amount total_price order_status payment_status created_at",
        [
            (o.checkout.order_id, shop.shop_id, o.checkout.phone, o.network, o.base_price, o.profit_amount,
                o.base_price + o.profit_amount, *o.history[-1][:2], o.history[0][-1])
            for o in shop.orders
        ],
    )  # fmt: skip
    # The link of an order that checkout never tracked is unknown.
    tracked = [order for order in shop.orders if order.calls]
    bought = {o.checkout.visit_id: o.checkout.order_id for o in tracked if o.checkout.visit_id}
    visits = [(shop.shop_id, bought.get(v.visit_id), v.slug, v.accessed_at, v.utm_source) for v in shop.visits]
    visits += [
        (shop.shop_id, o.checkout.order_id, o.checkout.slug, o.checkout.accessed_at, None)
        for o in tracked
        if not o.checkout.visit_id
    ]
    columns = "shop_id shop_order_id accessed_via_slug accessed_at utm_source"
    _copy(connection, "regulars.tracking", columns, visits)


def _copy(connection: Connection, table: str, columns: str, rows: Iterable[_Row]) -> None:
    statement = f"copy {table} ({', '.join(columns.split())}) from stdin"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _with_policy(shop: Shop, people: dict[tuple[object, object], object]) -> Iterator[Order]:
    slugs, zone = {visit.visit_id: visit.slug for visit in shop.visits}, ZoneInfo(shop.time_zone)
    for order in shop.orders:
        checkout, (status, payment, _) = order.checkout, order.history[-1]
        at = order.history[0][-1]
        local = at.astimezone(zone)
        slug = slugs[checkout.visit_id] if checkout.visit_id else checkout.slug
        is_paid = payment == "completed" and status not in ("failed", "cancelled")
        buyer = people[shop.shop_id, order.line] if order.line else None
        assert buyer is None or isinstance(buyer, UUID)
        yield Order(
            shop=shop.slug, currency=shop.currency, buyer=buyer, order_id=checkout.order_id, at=at,
            day=local.date(), hour=local.hour, network=order.network,
            slug=(slug if order.calls else None) or "unknown",
            is_sale=is_paid and status not in ("refunded", "reversed"),
            gross=order.base_price + order.profit_amount if is_paid else Decimal(0), profit=order.profit_amount,
        )  # fmt: skip


def _purchases(orders: list[Order]) -> dict[UUID, list[Order]]:
    bought: dict[UUID, list[Order]] = defaultdict(list)
    for order in orders:
        if order.is_sale and order.buyer:
            bought[order.buyer].append(order)
    return bought


def _rounded(number: Decimal, step: str) -> Decimal:
    return number.quantize(Decimal(step), rounding=ROUND_HALF_UP)


def _percentage(part: Decimal | int, whole: Decimal | int) -> Decimal:
    return _rounded(100 * Decimal(part) / Decimal(whole), "0.1")


def _percentile(values: list[_Value], share: float) -> _Value:
    return sorted(values)[ceil(share * len(values)) - 1]


def which_link_brings_those_who_come_back(refreshed: Refreshed) -> Iterator[_Row]:
    for shop, _, orders in refreshed.shops():
        last = max(order.day for order in orders)
        customers: Counter[str] = Counter()
        came_back: Counter[str] = Counter()
        for bought in _purchases(orders).values():
            first, *later = bought
            if first.day <= last - timedelta(days=60):
                customers[first.slug] += 1
                came_back[first.slug] += any(order.day <= first.day + timedelta(days=60) for order in later)
        for slug, count in customers.items():
            yield shop, slug, count, came_back[slug], _percentage(came_back[slug], count)


def who_of_march_bought_again(refreshed: Refreshed) -> Iterator[_Row]:
    # Three months from each day of March, as a calendar counts them.
    ends = {date(2026, 3, day): date(2026, 6, min(day, 30)) for day in range(1, 32)}
    for shop, _, orders in refreshed.shops():
        new = [bought for bought in _purchases(orders).values() if bought[0].day in ends]
        again = sum(any(order.day < ends[bought[0].day] for order in bought[1:]) for bought in new)
        yield shop, len(new), again, _percentage(again, len(new))


def which_networks_buyers_are_worth_most(refreshed: Refreshed) -> Iterator[_Row]:
    for shop, currency, orders in refreshed.shops():
        by_network: dict[str, list[tuple[Decimal, Decimal]]] = defaultdict(list)
        for bought in _purchases(orders).values():
            counts = Counter(order.network for order in bought)
            last = {order.network: place for place, order in enumerate(bought)}
            preferred = max(counts, key=lambda network: (counts[network], last[network]))
            spent, profit = (o.net for o in bought), (o.profit for o in bought)
            by_network[preferred].append((sum(spent, Decimal(0)), sum(profit, Decimal(0))))
        for network, customers in by_network.items():
            averages = (_rounded(sum(each, Decimal(0)) / len(each), "0.01") for each in zip(*customers, strict=True))
            median = _percentile([worth for worth, _ in customers], 0.5)
            yield shop, currency, network, len(customers), median, *averages


def whose_spend_dropped(refreshed: Refreshed) -> Iterator[_Row]:
    for shop, currency, orders in refreshed.shops():
        last = max(order.day for order in orders)
        for buyer, bought in _purchases(orders).items():
            ages = [((last - order.day).days, order.net) for order in bought]
            before = [net for age, net in ages if 90 <= age < 180]
            lately = sum((net for age, net in ages if age < 90), Decimal(0))
            if len(before) >= 3 and lately * 2 < sum(before):
                yield shop, currency, buyer, sum(before), lately, sum(before) - lately


def how_long_until_the_second(refreshed: Refreshed) -> Iterator[_Row]:
    for shop, _, orders in refreshed.shops():
        last = max(order.day for order in orders)
        old = [b for b in _purchases(orders).values() if b[0].day <= last - timedelta(days=180)]
        waits = [(bought[1].day - bought[0].day).days for bought in old if len(bought) > 1]
        waits = [days for days in waits if days <= 180]
        yield shop, len(old), len(waits), _percentile(waits, 0.5), _percentile(waits, 0.9)


def what_refunds_cost(refreshed: Refreshed) -> Iterator[_Row]:
    for shop, currency, orders in refreshed.shops():
        for month in {order.month for order in orders}:
            gross = [order for order in orders if order.month == month and order.gross]
            refunded = [order.gross for order in gross if not order.is_sale]
            total = sum(order.gross for order in gross)
            yield shop, currency, month, len(refunded), total, sum(refunded), _percentage(sum(refunded), total)


def who_relies_on_a_handful(refreshed: Refreshed) -> Iterator[_Row]:
    for shop, currency, orders in refreshed.shops():
        spent = sorted((sum(o.net for o in bought) for bought in _purchases(orders).values()), reverse=True)
        yield shop, currency, len(spent), sum(spent[:5]), sum(spent), _percentage(sum(spent[:5]), sum(spent))


def at_what_hour_people_buy(refreshed: Refreshed) -> Iterator[_Row]:
    for shop, _, orders in refreshed.shops():
        hours = Counter(order.hour for order in orders if order.is_sale)
        for hour, count in hours.items():
            yield shop, hour, count, _percentage(count, hours.total())


def which_campaigns_visits_end_in_a_sale(refreshed: Refreshed) -> Iterator[_Row]:
    sold = {order.order_id: order.net for order in refreshed.orders if order.is_sale}
    for shop in refreshed.data.shops:
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
            share = _percentage(sales[source], count)
            yield shop.slug, shop.currency, source, count, sales[source], share, net[source]


def where_growth_comes_from(refreshed: Refreshed) -> Iterator[_Row]:
    for shop, currency, orders in refreshed.shops():
        first = {buyer: bought[0].month for buyer, bought in _purchases(orders).items()}
        sales = [order for order in orders if order.is_sale]
        for month in {order.month for order in sales}:
            parts = {"new": Decimal(0), "returning": Decimal(0), "unknown": Decimal(0)}
            for order in sales:
                if order.month == month:
                    of_known = "new" if order.buyer and first[order.buyer] == month else "returning"
                    parts[of_known if order.buyer else "unknown"] += order.net
            yield shop, currency, month, sum(parts.values()), *parts.values()


_ANSWERS: list[Callable[[Refreshed], Iterator[_Row]]] = [
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


def _query(number: int) -> str:
    (query,) = _SQL.findall(_QUESTIONS[number][2])
    return str(query)


def _schemas(plan: object) -> Iterator[str]:
    if isinstance(plan, dict):
        yield from (str(value) for key, value in plan.items() if key == "Schema")
        yield from (schema for value in plan.values() for schema in _schemas(value))
    elif isinstance(plan, list):
        yield from (schema for value in plan for schema in _schemas(value))


def test_there_are_ten_questions_and_each_has_one_query() -> None:
    assert [int(number) for number, _, _ in _QUESTIONS] == list(range(1, 11))
    assert all(question.endswith("?") for _, question, _ in _QUESTIONS)
    assert [len(_SQL.findall(answer)) for _, _, answer in _QUESTIONS] == [1] * 10
    assert len(_SQL.findall(_PAGE)) == len(_ANSWERS)


@pytest.mark.parametrize("number", range(10), ids=[answer.__name__ for answer in _ANSWERS])
def test_the_answer_is_what_the_orders_say(refreshed: Refreshed, number: int) -> None:
    expected = Counter(_ANSWERS[number](refreshed))
    assert {row[0] for row in expected} == {shop.slug for shop in refreshed.data.shops}
    assert Counter(fetch(refreshed.connection, _query(number))) == expected


@pytest.mark.parametrize("number", range(10), ids=[answer.__name__ for answer in _ANSWERS])
def test_a_query_reads_nothing_but_schema_analytics(refreshed: Refreshed, number: int) -> None:
    ((plan,),) = fetch(refreshed.connection, f"explain (verbose, format json) {_query(number)}")
    assert set(_schemas(plan if isinstance(plan, list) else json.loads(str(plan)))) == {"analytics"}


@pytest.mark.parametrize("number", range(10), ids=[answer.__name__ for answer in _ANSWERS])
def test_every_join_names_the_shop_and_every_amount_its_currency(number: int) -> None:
    query = _query(number)
    joins = re.split(r"\b(?:inner|left) join\b", query)[1:]
    conditions = [re.split(r"\b(?:where|group by|select)\b", join)[0] for join in joins]
    assert joins
    assert [condition for condition in conditions if "shop_id = " not in condition] == []
    last = query[query.rindex("\nselect") if "\nselect" in query else 0 :]
    if re.search(r"_amount|_spent|spent_|_ltv|from_new", last):
        assert "shops.currency" in last
