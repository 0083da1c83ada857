"""Segments and who is at risk, in the API and on their page: what Python counts by each customer's own rhythm."""

import json
import random
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import pytest

from flows.steps import run_refresh
from ingest.storage.connections import Connection
from regulars.dashboard.app import create_app
from regulars.dashboard.pages.formatting import day
from regulars.dashboard.pages.numbers import MAX_AT_RISK
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.queries.segments import at_risk
from regulars.dashboard.queries.shops import chosen_shop
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import Keys, Owner
from tests.api import API, Api, assert_head, bearer
from tests.conftest import Database
from tests.owners import Order, Shop, rounded, settings_of
from tests.pages import Seen
from tests.scores import read_grid, read_purchases, score_customers
from tests.served import served
from tests.storefront import MOMENT, add_order, add_shop, fetch


@pytest.fixture(params=["ama-data", "ama-more", "kofi-data"])
def shop(api: Api, request: pytest.FixtureRequest) -> Shop:
    return api.owners.shops[request.param]


def _gaps(shop: Shop, sales: list[Order]) -> list[int]:
    days = sorted({shop.day(order.at) for order in sales})
    return [(after - before).days for before, after in pairwise(days)]


def _today(shop: Shop) -> date:
    return shop.day(datetime.now(UTC))


def _at_risk(shop: Shop, today: date) -> dict[str, dict[str, Any]]:
    return {phone: row for phone, row in _rhythms(shop, today).items() if row["state"] == "at risk"}


def _rhythms(shop: Shop, today: date) -> dict[str, dict[str, Any]]:
    """Phone → state, what they were worth a month, and since when they are at risk."""
    of_shop = median(gap for sales in shop.buyers.values() for gap in _gaps(shop, sales))
    found = {}
    for phone, sales in shop.buyers.items():
        own = _gaps(shop, sales)
        gap = median(own) if len(sales) >= 3 and own else of_shop
        first, last = shop.day(sales[0].at), shop.day(sales[-1].at)
        due, at_risk, lapsed = (last + timedelta(days=ceil(gap * times)) for times in (1, 2, 4))
        states = ((lapsed, "lapsed"), (at_risk, "at risk"), (due, "due"))
        spent = sum((order.total for order in sales), Decimal(0))
        found[phone] = {
            "state": next((state for since, state in states if today >= since), "active"),
            "net_per_month": rounded(spent * 30 / (due - first).days, "0.01"),
            "at_risk_from": at_risk.isoformat(),
            "days_since": (today - last).days,
        }
    return found


def test_customers_at_risk_are_what_python_counts_on_the_day_on_which_most_are(api: Api, shop: Shop) -> None:
    """The clock moves there without a refresh."""
    days = sorted({date.fromisoformat(row["at_risk_from"]) for row in _rhythms(shop, _today(shop)).values()})
    by_day = {day: _at_risk(shop, day) for day in days if day >= _today(shop)}
    today, late = max(by_day.items(), key=lambda item: len(item[1]))
    assert late, "there must be somebody at risk, or the test could not see them lost"
    noon = datetime.combine(today, time(12), shop.zone)
    with api.at(noon) as then:
        answer = then.read("at-risk", shop, limit=200)
        one = then.read("at-risk", shop, limit=1)
        then.client.cookies.set(COOKIE, Keys(api.settings).session(str(shop.user_id)))
        page = Seen(then.client.get("/segments", params={"shop": shop.slug}).text)
    assert_head(answer, shop)
    found = {row["phone_number"]: row for row in answer["customers"]}
    assert found.keys() == late.keys()
    for phone, row in late.items():
        for field in ("net_per_month", "at_risk_from", "days_since"):
            assert found[phone][field] == row[field]
        assert f"{row['days_since']} days ago" in found[phone]["reason"]
    worth = [row["net_per_month"] for row in answer["customers"]]
    assert worth == sorted(worth, reverse=True)
    assert [row["customer_id"] for row in one["customers"]] == [answer["customers"][0]["customer_id"]]
    assert f"{len(late)} customer" in page.text
    assert sum(lead.startswith("/customers/") for lead in page.leads) == min(len(late), MAX_AT_RISK)


def test_states_are_what_python_counts_and_without_fifty_customers_there_is_no_segment(api: Api, shop: Shop) -> None:
    answer = api.read("segments", shop)
    assert_head(answer, shop)
    states = Counter(row["state"] for row in _rhythms(shop, _today(shop)).values())
    assert {row["state"]: row["customers"] for row in answer["states"]} == states
    assert [row["state"] for row in answer["states"]] == [
        s for s in ("active", "due", "at risk", "lapsed") if states[s]
    ]
    assert (answer["has_segments"], answer["segments"]) == (False, [])
    assert answer["reason"] == f"fewer than 50 customers: {len(shop.buyers)}"
    with served(create_app(api.settings), headers={}) as client:
        client.cookies.set(COOKIE, Keys(api.settings).session(str(shop.user_id)))
        page = Seen(client.get("/segments", params={"shop": shop.slug}).text)
    assert f"There are no segments yet: {answer['reason']}." in page.text
    late = states["at risk"]
    assert (f"{late} customer" if late else "Nobody is at risk.") in page.text


def test_a_customers_own_rhythm_is_in_their_history_and_on_their_page(api: Api, shop: Shop) -> None:
    expected = _rhythms(shop, _today(shop))
    with served(create_app(api.settings), headers={}) as client:
        client.cookies.set(COOKIE, Keys(api.settings).session(str(shop.user_id)))
        for row in api.read("list", shop, limit=200)["customers"]:
            rhythm = api.read(f"{row['customer_id']}/history", shop)["rhythm"]
            wanted = expected[row["phone_number"]]
            assert {field: rhythm[field] for field in wanted} == wanted
            assert rhythm["reason"].endswith(f"; {wanted['days_since']} days ago") or wanted["days_since"] < 2
            page = Seen(client.get(f"/customers/{row['customer_id']}", params={"shop": shop.slug}).text)
            assert rhythm["reason"][1:] in page.text
            since = {"active": "due_on", "due": "due_on", "at risk": "at_risk_from", "lapsed": "lapsed_from"}
            assert day(date.fromisoformat(rhythm[since[rhythm["state"]]])) in page.text


def test_segments_of_a_shop_with_sixty_customers_are_what_python_counts(built: Database) -> None:
    chance = random.Random(9)

    def buy(connection: Connection, *, first: int, last: int, orders: int) -> None:
        for _ in range(orders):
            add_order(
                connection, shop, phone=f"024{1_000_000 + chance.randrange(60)}", total=str(chance.randrange(1, 90)),
                at=MOMENT + timedelta(days=chance.randrange(first, last)),
            )  # fmt: skip

    with built.connect() as connection:
        shop = add_shop(connection)
        for number in range(60):
            add_order(connection, shop, phone=f"024{1_000_000 + number}", at=MOMENT + timedelta(days=number))
        buy(connection, first=0, last=90, orders=100)
        run_refresh(built.settings)
        grid = read_grid(connection)
        before = score_customers(read_purchases(connection)[shop], grid, shop=shop)
        buy(connection, first=60, last=120, orders=25)
        connection.execute("update shop_orders set order_status = 'refunded' where customer_phone = '0241000003'")
        run_refresh(built.settings)
        after = score_customers(read_purchases(connection)[shop], grid, shop=shop)
        ((owner,),) = fetch(connection, "select user_id from user_shops")
    assert len(after) == 59, "one has no purchase left"
    moved = [(before[customer].segment, score.segment) for customer, score in after.items()]
    moved = [(old, new) for old, new in moved if old != new]
    assert moved
    sizes = Counter(score.segment for score in after.values())
    settings = settings_of(built)
    with served(create_app(settings), headers=bearer(settings, UUID(str(owner)))) as client:
        answer = json.loads(client.get(f"{API}/segments").text, parse_float=Decimal)
    assert (answer["has_segments"], answer["reason"]) == (True, None)
    assert [row["customers"] for row in answer["segments"]] == sorted(
        (row["customers"] for row in answer["segments"]), reverse=True
    )
    assert {row["segment"]: row for row in answer["segments"]} == {
        segment: {
            "segment": segment,
            "customers": sizes[segment],
            "net_amount": sum((score.spent for score in after.values() if score.segment == segment), Decimal(0)),
            "moved_in": sum(new == segment for _, new in moved),
            "moved_out": sum(old == segment for old, _ in moved),
        }
        for segment in {*sizes, *(old for old, _ in moved)}
    }


_MANY = """
    with people as (
        insert into regulars.customers (id, shop_id, phone_number, first_seen_at)
        select gen_random_uuid(), %(shop)s, '+23320' || (1000000 + n), now() from generate_series(1, 20000) as n
        returning id
    ), gaps as (
        insert into analytics.purchase_gaps (shop_id, gap_days, gaps) values (%(shop)s, 10, 1)
    )
    insert into analytics.customers (shop_customer_id, shop_id, first_purchase_at, last_purchase_at,
        first_purchase_month, first_purchase_date, last_purchase_date, total_purchases, purchase_days, total_spent,
        total_profit, average_order_value, repeat_customer)
    select id, %(shop)s, now() - interval '30 days', now() - interval '30 days', date_trunc('month', now()),
        now() - interval '30 days', now() - interval '30 days', 1, 1, 1, 1, 1, false
    from people
"""


def test_of_many_customers_at_risk_the_contacts_of_the_few_on_the_page_are_read(built: Database) -> None:
    owner = uuid4()
    with built.connect() as connection:
        shop_id = add_shop(connection, "many")
        connection.execute("update user_shops set user_id = %s where id = %s", [owner, shop_id])
        run_refresh(built.settings)
        connection.execute(_MANY, {"shop": shop_id})
        connection.execute("analyze")
    reader = Reader(settings_of(built))
    reader.open()
    try:
        with reader.as_owner(Owner(str(owner)), reads="customers") as read:
            late = at_risk(read, chosen_shop(read, None), limit=25)
            (contacts_read,) = read.execute(
                "select seq_tup_read + idx_tup_fetch from pg_stat_xact_all_tables "
                "where schemaname = 'regulars' and relname = 'customers'"
            ).fetchone() or (0,)
    finally:
        reader.close()
    assert len({row.phone_number for row in late}) == 25
    assert 25 <= contacts_read < 100
