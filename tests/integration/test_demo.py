"""The demo compared with its sample data: plain Python counts every number a second time."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from io import StringIO
from zoneinfo import ZoneInfo

import httpx
import pytest
from psycopg.conninfo import make_conninfo
from rich.console import Console

from ingest.storage.connections import Connection, connect, conninfo
from ingest.storage.errors import DatabaseError
from regulars.dashboard.cards import CARDS
from regulars.demo.dashboard import served_dashboard
from regulars.demo.database import new_database
from regulars.demo.panels import read, shop_panel
from regulars.demo.sample_data import Order, SampleData, Shop, make_sample_data
from regulars.demo.show import play
from tests.conftest import Server
from tests.storefront import fetch

NAME = "regulars_test_demo"
SHOPS = range(4)
NO_SHOPS = SampleData(middle=make_sample_data(seed=7).middle, shops=())


@dataclass(frozen=True, slots=True)
class Played:
    data: SampleData
    printed: str
    connection: Connection


@pytest.fixture(scope="module")
def played(server: Server, builds_models: None) -> Iterator[Played]:  # noqa: ARG001
    data, out = make_sample_data(seed=7), StringIO()
    play(server.settings, data, console=Console(file=out, width=80, highlight=False), database=NAME)
    with connect(conninfo(server.settings, database=NAME)) as connection:
        yield Played(data=data, printed=out.getvalue(), connection=connection)
    server.drop(NAME)


def _is_sale(order: Order) -> bool:
    order_status, payment_status, _ = order.history[-1]
    return payment_status == "completed" and order_status in ("pending", "processing", "completed")


def _total(order: Order) -> Decimal:
    return order.base_price + order.profit_amount


def _month(order: Order, shop: Shop) -> date:
    return order.history[0][-1].astimezone(ZoneInfo(shop.time_zone)).date().replace(day=1)


def _rounded(number: Decimal, step: str) -> Decimal:
    return number.quantize(Decimal(step), rounding=ROUND_HALF_UP)


def _expected_cards(shop: Shop) -> dict[str, Decimal | int]:
    sales = [order for order in shop.orders if _is_sale(order)]
    of_known_customers = [order for order in sales if order.line is not None]
    purchases = Counter(order.person_id for order in of_known_customers)
    repeat = sum(count >= 2 for count in purchases.values())
    revenue = sum(map(_total, of_known_customers), Decimal(0))
    credited = sum((p.amount for p in shop.profits if p.history[-1][0] == "credited"), Decimal(0))
    gone = ("approved", "processing", "completed")
    withdrawn = sum((w.amount for w in shop.withdrawals if w.history[-1][0] in gone), Decimal(0))
    return {
        "available_balance": max(Decimal(0), credited - withdrawn),
        "total_profit": sum((order.profit_amount for order in sales), Decimal(0)),
        "total_orders": len(sales),
        "pending_withdrawals": sum(w.history[-1][0] == "pending" for w in shop.withdrawals),
        "total_customers": len(purchases),
        "repeat_customers": repeat,
        "repeat_percentage": _rounded(Decimal(100 * repeat) / len(purchases), "0.1"),
        "average_ltv": _rounded(revenue / len(purchases), "0.01"),
        "customer_revenue": revenue,
    }


def _expected_months(shop: Shop) -> list[tuple[object, ...]]:
    """Month, new, returning and active customers, sales, net."""
    sales = sorted((order for order in shop.orders if _is_sale(order)), key=lambda order: order.history[0][-1])
    first: dict[object, date] = {}
    active, counts = defaultdict(set), Counter()
    net: dict[date, Decimal] = defaultdict(Decimal)
    for order in sales:
        month = _month(order, shop)
        counts[month] += 1
        net[month] += _total(order)
        if order.line is not None:
            first.setdefault(order.person_id, month)
            active[month].add(order.person_id)
    new = Counter(first.values())
    months = [date(2025, 11, 1), date(2025, 12, 1), *(date(2026, number, 1) for number in range(1, 11))]
    return [(m, new[m], len(active[m]) - new[m], len(active[m]), counts[m], net[m]) for m in months]


def _expected_slugs(shop: Shop) -> dict[str, tuple[int, int, int, Decimal]]:
    """By slug: visits, sales with a visit, sales, net. The link of an order that checkout missed is unknown."""
    slugs = {visit.visit_id: visit.slug for visit in shop.visits}
    visits = Counter(visit.slug or "unknown" for visit in shop.visits)
    converted, sales, net = Counter(), Counter(), defaultdict(Decimal)
    for order in shop.orders:
        noted = slugs.get(order.checkout.visit_id) if order.checkout.visit_id else order.checkout.slug
        slug = (noted if order.calls else None) or "unknown"
        visits[slug] += order.calls > 0 and order.checkout.visit_id is None
        if _is_sale(order):
            converted[slug] += order.calls > 0
            sales[slug] += 1
            net[slug] += _total(order)
    return {slug: (visits[slug], converted[slug], sales[slug], net[slug]) for slug in visits}


@pytest.mark.parametrize("number", SHOPS)
def test_the_nine_cards_are_those_of_the_sample_data(played: Played, number: int) -> None:
    shop = played.data.shops[number]
    cards, _ = read(played.connection, shop)
    expected = _expected_cards(shop)
    assert {name: cards[name] for name in expected} == expected


@pytest.mark.parametrize("number", SHOPS)
def test_acquisition_by_local_month_is_that_of_the_sample_data(played: Played, number: int) -> None:
    shop = played.data.shops[number]
    _, months = read(played.connection, shop)
    columns = ("month", "new_customers", "returning_customers", "active_customers", "sales", "net_amount")
    assert [tuple(row[name] for name in columns) for row in months] == _expected_months(shop)


@pytest.mark.parametrize("number", SHOPS)
def test_visits_and_sales_by_slug_are_those_of_the_sample_data(played: Played, number: int) -> None:
    shop = played.data.shops[number]
    rows = fetch(
        played.connection,
        "select slug, visits, converted_visits, sales, net_amount from analytics.slug_analytics where shop_id = %s",
        shop.shop_id,
    )
    assert {slug: tuple(figures) for slug, *figures in rows} == _expected_slugs(shop)


@pytest.mark.parametrize("number", SHOPS)
def test_each_customer_has_as_many_purchases_worth_as_much_as_in_the_sample_data(played: Played, number: int) -> None:
    shop = played.data.shops[number]
    bought: dict[object, list[Order]] = defaultdict(list)
    for order in shop.orders:
        if _is_sale(order) and order.line is not None:
            bought[order.line].append(order)
    rows = fetch(
        played.connection,
        "select people.phone_number, customers.total_purchases, customers.total_spent, "
        "customers.first_purchase_at, customers.last_purchase_at from analytics.customers "
        "inner join regulars.customers as people on customers.shop_id = people.shop_id "
        "and customers.shop_customer_id = people.id where customers.shop_id = %s",
        shop.shop_id,
    )
    assert sorted(rows) == sorted(
        (
            line,
            len(orders),
            sum(map(_total, orders)),
            min(order.history[0][-1] for order in orders),
            max(order.history[0][-1] for order in orders),
        )
        for line, orders in bought.items()
    )


def test_every_order_has_a_customer_or_a_written_reason(played: Played) -> None:
    unreadable = {o.checkout.order_id for s in played.data.shops for o in s.orders if o.line is None}
    assert {row[0] for row in fetch(played.connection, "select order_id from regulars.unreadable_phones")} == unreadable
    linked = fetch(
        played.connection,
        "select order_id from regulars.unmatched_orders union all select order_id from regulars.unreadable_phones",
    )
    assert {row[0] for row in linked} == unreadable


def test_the_first_refresh_computes_everything_and_the_second_only_what_changed(played: Played) -> None:
    rows = fetch(played.connection, "select mode, status, changes > 0 from regulars.refreshes order by refresh_id")
    assert rows == [("rebuild", "succeeded", True), ("refresh", "succeeded", True)]


def test_all_nine_cards_of_each_shop_are_printed_with_their_currency(played: Played) -> None:
    for shop in played.data.shops:
        cards = _expected_cards(shop)
        assert shop.name in played.printed
        assert f"{shop.currency} {cards['customer_revenue']:,.2f}" in played.printed
        assert f"{shop.currency} {cards['available_balance']:,.2f}" in played.printed
        assert f"{cards['repeat_percentage']}%" in played.printed
    for card in CARDS:
        assert played.printed.count(card.label) == len(played.data.shops)


def test_no_line_is_wider_than_the_terminal_and_no_personal_data_is_printed(played: Played) -> None:
    assert max(map(len, played.printed.splitlines())) <= 80
    assert "@" not in played.printed
    for shop in played.data.shops:
        for order in shop.orders:
            assert str(order.checkout.customer_name) not in played.printed
            assert (order.line or "no line") not in played.printed


def test_each_sign_in_link_opens_the_shops_dashboard_as_its_owner(server: Server, played: Played) -> None:
    own = server.settings.model_copy(update={"database_url": conninfo(server.settings, database=NAME)})
    with served_dashboard(own, played.data.shops) as links:
        for shop in played.data.shops:
            with httpx.Client(follow_redirects=True, timeout=30) as browser:
                page = browser.get(links[shop.name])
            assert page.status_code == 200, shop.name
            assert "token" not in str(page.url)
            assert f"{_expected_cards(shop)['customer_revenue']:,.2f}" in page.text
            assert [other.name for other in played.data.shops if other.name in page.text] == [shop.name]


def test_a_card_that_is_unknown_is_a_dash() -> None:
    shop, out = make_sample_data(seed=7).shops[0], StringIO()
    cards: dict[str, object] = dict.fromkeys((card.name for card in CARDS), None)
    cards |= {"total_customers": 0, "customer_revenue": Decimal(0)}
    Console(file=out, width=80).print(shop_panel(shop, cards, [], width=80))
    assert out.getvalue().count("—") == len(CARDS) - 2
    assert "GHS 0.00" in out.getvalue()


def test_a_demo_drops_the_previous_demos_database(server: Server) -> None:
    name = f"{NAME}_anew"
    for _ in range(2):
        with new_database(server.settings, name) as own, connect(own.database_url or "") as connection:
            assert fetch(connection, "select to_regclass('public.left_over') is null") == [(True,)]
            connection.execute("create table public.left_over ()")
    server.drop(name)


def test_a_database_that_no_demo_made_is_left_as_it_is(server: Server) -> None:
    theirs = server.create(f"{NAME}_theirs")
    with theirs.connect() as connection:
        connection.execute("create table public.precious ()")
    with pytest.raises(DatabaseError, match="no demo made"):
        play(server.settings, NO_SHOPS, console=Console(file=StringIO()), database=theirs.name)
    with theirs.connect() as connection:
        assert fetch(connection, "select to_regclass('public.precious') is not null") == [(True,)]
    server.drop(theirs.name)


def test_a_demo_never_drops_the_database_that_database_url_names(server: Server) -> None:
    named = server.create(f"{NAME}_named")
    with pytest.raises(DatabaseError, match="name another one"):
        play(named.settings, NO_SHOPS, console=Console(file=StringIO()), database=named.name)
    server.drop(named.name)


def test_a_second_demo_on_the_server_is_told_to_wait(server: Server) -> None:
    name = f"{NAME}_busy"
    with new_database(server.settings, name), pytest.raises(DatabaseError, match="wait"):
        play(server.settings, NO_SHOPS, console=Console(file=StringIO()), database=name)
    server.drop(name)


def test_a_role_that_may_not_create_databases_is_told_what_it_needs(server: Server) -> None:
    theirs = server.create(f"{NAME}_poor")
    with theirs.connect() as connection:
        connection.execute("drop role if exists regulars_test_poor")
        connection.execute("create role regulars_test_poor login password 'poor'")
    where = make_conninfo(theirs.conninfo, user="regulars_test_poor", password="poor")
    settings = server.settings.model_copy(update={"database_url": where})
    with pytest.raises(DatabaseError, match="CREATEDB"):
        play(settings, NO_SHOPS, console=Console(file=StringIO()), database=NAME + "_none")
    with theirs.connect() as connection:
        connection.execute("drop role regulars_test_poor")
    server.drop(theirs.name)
