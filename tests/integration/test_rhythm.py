"""The customer's own rhythm: it changes with the clock, without a refresh."""

import random
import statistics
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from math import ceil
from uuid import UUID

import pytest

from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.storefront import add_order, add_shop, fetch

_START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _buy(connection: Connection, shop: UUID, phone: str, *days: int, total: str = "10") -> None:
    for day in days:
        add_order(connection, shop, phone=phone, at=_START + timedelta(days=day), total=total, profit="0")


def _at(connection: Connection, now: datetime, query: str) -> list[tuple[object, ...]]:
    with connection.transaction():
        connection.execute("select set_config('regulars.now', %s, true)", [now.isoformat()])
        return fetch(connection, query)


def test_a_state_changes_when_its_day_comes_without_a_refresh(built: Database) -> None:
    with built.connect() as connection:
        # Midnight comes at 18:30 UTC.
        _buy(connection, add_shop(connection, timezone="Asia/Kolkata"), "0241234567", 0, 9, 18)
        run_refresh(built.settings)
        row = "select state, days_since, reason from analytics.customer_rhythms"
        last = _START.replace(hour=18, minute=29) + timedelta(days=18)
        for days, before, after in ((9, "active", "due"), (18, "due", "at risk"), (36, "at risk", "lapsed")):
            eve = last + timedelta(days=days - 1)
            assert _at(connection, eve, row) == [(before, days - 1, f"buys every 9 days; {days - 1} days ago")]
            assert _at(connection, eve + timedelta(minutes=1), row) == [
                (after, days, f"buys every 9 days; {days} days ago")
            ]
            state = "select state, customers, net_per_month from analytics.state_sizes"
            # 30.00 in 27 days.
            assert _at(connection, eve + timedelta(minutes=1), state) == [(after, 1, Decimal("33.33"))]


def test_who_has_bought_less_than_three_times_has_the_shops_median(built: Database) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        _buy(connection, shop, "0241234567", 0, 2, 4)
        _buy(connection, shop, "0201234567", 0, 3)
        # Three purchases, all on one day.
        _buy(connection, shop, "0541234567", 0, 0, 0)
        _buy(connection, shop, "0551234567", 0, 20)
        run_refresh(built.settings)
        found = _at(
            connection,
            _START,
            "select gap_days, uses_shop_median, due_on - last_purchase_date, at_risk_from - last_purchase_date, "
            "lapsed_from - last_purchase_date, reason from analytics.customer_rhythms order by last_purchase_date",
        )
    # The shop's gaps: 2, 2, 3 and 20.
    shops = (Decimal("2.5"), True, 3, 5, 10)
    words = "the shop's customers buy every 2.5 days; today"
    assert found == [(*shops, words), (*shops, words), (Decimal(2), False, 2, 4, 8, "buys every 2 days; today"),
                     (*shops, words)]  # fmt: skip


def test_a_shop_to_which_nobody_came_back_has_no_rhythm_and_says_so(built: Database) -> None:
    with built.connect() as connection:
        _buy(connection, add_shop(connection), "0241234567", 0, 0, 0)
        run_refresh(built.settings)
        assert _at(
            connection,
            _START + timedelta(days=400),
            "select gap_days, uses_shop_median, due_on, state, net_per_month, reason from analytics.customer_rhythms",
        ) == [(None, None, None, None, None, "nobody has come back to the shop on another day yet; 400 days ago")]
        assert fetch(connection, "select state, customers, net_per_month from analytics.state_sizes") == [
            ("unknown", 1, None)
        ]


Rhythm = tuple[Decimal, date, str, Decimal]


def _expected(connection: Connection, today: date) -> dict[UUID, Rhythm]:
    bought: dict[tuple[UUID, UUID], list[tuple[date, Decimal]]] = defaultdict(list)
    for shop, customer, day, amount in connection.execute(
        "select o.shop_id, t.shop_customer_id, o.created_at::date, o.total_price "
        "from public.shop_orders as o inner join regulars.tracking as t on o.id = t.shop_order_id"
    ):
        bought[shop, customer].append((day, amount))
    gaps: dict[tuple[UUID, UUID], list[int]] = {}
    for key, purchases in bought.items():
        days = sorted({day for day, _ in purchases})
        gaps[key] = [(later - day).days for day, later in pairwise(days)]
    expected: dict[UUID, Rhythm] = {}
    for (shop, customer), purchases in bought.items():
        own = gaps[shop, customer]
        everybodys = [gap for (of_shop, _), each in gaps.items() if of_shop == shop for gap in each]
        gap = Decimal(str(statistics.median(own if own and len(purchases) >= 3 else everybodys)))
        first, last = min(day for day, _ in purchases), max(day for day, _ in purchases)
        due, at_risk, lapsed = (last + timedelta(days=ceil(times * gap)) for times in (1, 2, 4))
        state = "active" if today < due else "due" if today < at_risk else "at risk" if today < lapsed else "lapsed"
        worth = sum((amount for _, amount in purchases), Decimal(0)) * 30 / (due - first).days
        expected[customer] = (gap, due, state, worth.quantize(Decimal("0.01"), ROUND_HALF_UP))
    return expected


@pytest.mark.parametrize("seed", range(2))
def test_rhythms_after_refreshes_are_those_counted_from_the_raw_orders(built: Database, seed: int) -> None:
    chance = random.Random(seed)
    with built.connect() as connection:
        shops = [add_shop(connection), add_shop(connection, "kofi")]
        for _ in range(3):
            for _ in range(60):
                _buy(
                    connection, chance.choice(shops), f"02412345{chance.randrange(10, 40)}", chance.randrange(60),
                    total=str(chance.choice((0, 5, 10))),
                )  # fmt: skip
            orders = [id for (id,) in connection.execute("select id from public.shop_orders order by created_at, id")]
            for order in chance.sample(orders, 10):
                connection.execute("delete from public.shop_orders where id = %s", [order])
            run_refresh(built.settings)
            for days in (0, 30, 70, 100):
                now = _START + timedelta(days=days)
                found = _at(
                    connection,
                    now,
                    "select shop_customer_id, gap_days, due_on, state, net_per_month from analytics.customer_rhythms",
                )
                assert {row[0]: row[1:] for row in found} == _expected(connection, now.date())
