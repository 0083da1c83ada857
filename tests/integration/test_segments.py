"""Segments: fifths, the grid, and the record of who moved, after refreshes and rebuilds."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from flows.errors import BuildFailed
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.scores import read_grid, read_purchases, score_customers
from tests.snapshot import snapshot
from tests.storefront import add_order, add_shop, fetch

_START = datetime(2026, 1, 1, 12, tzinfo=UTC)

Scores = dict[UUID, tuple[int, int, int, int, str]]


def _phone(number: int) -> str:
    return f"024{1000000 + number}"


def _add_customers(connection: Connection, shop: UUID, count: int, *, first: int = 0) -> None:
    """Each later than the one before, and with a larger order."""
    for number in range(first, first + count):
        add_order(connection, shop, phone=_phone(number), total=str(10 + number), at=_START + timedelta(days=number))


def _customer(connection: Connection, shop: UUID, number: int) -> UUID:
    [(customer,)] = fetch(
        connection,
        "select id from regulars.customers where shop_id = %s and phone_number = %s",
        shop,
        "+233" + _phone(number)[1:],
    )
    assert isinstance(customer, UUID)
    return customer


def _expected(connection: Connection) -> Scores:
    """Scores and segments of every customer, counted from the raw orders."""
    grid = read_grid(connection)
    scores: Scores = {}
    for shop, customers in read_purchases(connection).items():
        scores |= {
            customer: (score.recency, score.frequency, score.monetary, score.value, score.segment)
            for customer, score in score_customers(customers, grid, shop=shop).items()
        }
    return scores


def _found(connection: Connection) -> Scores:
    return {
        customer: (recency, frequency, monetary, value, segment)
        for customer, recency, frequency, monetary, value, segment in connection.execute(
            "select shop_customer_id, recency_score, frequency_score, monetary_score, value_score, segment "
            "from analytics.customer_segments"
        )
    }


def _change(connection: Connection, shops: list[UUID], chance: random.Random) -> None:
    """A night: some buy, some orders are refunded or deleted, and the grid may change."""
    for _ in range(chance.randrange(1, 12)):
        add_order(
            connection,
            chance.choice(shops),
            phone=_phone(chance.randrange(70)),
            total=str(chance.choice((0, 5, 5, 10, 20, 50))),
            profit="0",
            at=_START + timedelta(hours=chance.randrange(24 * 60)),
        )
    orders = [order for (order,) in connection.execute("select id from public.shop_orders order by created_at, id")]
    for order in chance.sample(orders, 4):
        connection.execute("update public.shop_orders set order_status = 'refunded' where id = %s", [order])
    for order in chance.sample(orders, 4):
        connection.execute("delete from public.shop_orders where id = %s", [order])
    if chance.random() < 0.5:
        connection.execute(
            "insert into regulars.segment_grid values (%s, %s, %s, %s) "
            "on conflict (shop_id, recency_score, value_score) do update set segment = excluded.segment",
            [
                chance.choice([*shops, None]), chance.randrange(1, 6), chance.randrange(1, 6),
                chance.choice(("ours", "theirs")),
            ],
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_segments_after_refreshes_are_those_counted_from_the_raw_orders(built: Database, seed: int) -> None:
    chance = random.Random(seed)
    with built.connect() as connection:
        shops = [add_shop(connection, f"shop-{zone[:3]}", timezone=zone) for zone in ("Africa/Accra", "Asia/Kolkata")]
        for shop in shops:
            for number in range(60):
                add_order(
                    connection, shop, phone=_phone(number), total=str(chance.choice((0, 5, 10, 20))), profit="0",
                    at=_START + timedelta(hours=chance.randrange(24 * 40)),
                )  # fmt: skip
        for _ in range(4):
            assert run_refresh(built.settings).mode == "refresh"
            assert _found(connection) == _expected(connection)
            _change(connection, shops, chance)
        run_refresh(built.settings)
        refreshed = snapshot(connection)
        assert refreshed["segment_changes"]
        assert _found(connection) == _expected(connection)
        run_refresh(built.settings, mode="rebuild")
        rebuilt = snapshot(connection)
        assert rebuilt == refreshed
        assert snapshot(connection, "building") == refreshed


def test_a_shop_has_segments_from_fifty_customers_on(built: Database) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        reason = "select customers, has_segments, reason from analytics.shop_segments"
        _add_customers(connection, shop, 49)
        run_refresh(built.settings)
        assert _found(connection) == {}
        assert fetch(connection, reason) == [(49, False, "fewer than 50 customers: 49")]

        _add_customers(connection, shop, 1, first=49)
        run_refresh(built.settings)
        assert len(_found(connection)) == 50
        assert _found(connection) == _expected(connection)
        assert fetch(connection, reason) == [(50, True, None)]

        connection.execute("delete from public.shop_orders where total_price = 10")
        run_refresh(built.settings)
        assert _found(connection) == {}
        assert fetch(connection, "select * from analytics.segment_changes") == []


def test_who_is_overtaken_moves_without_a_purchase_of_their_own(built: Database) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        _add_customers(connection, shop, 50)
        run_refresh(built.settings)
        overtaken = _customer(connection, shop, 40)
        # 40 of 50 have bought earlier, and 39 of them after the first has come again.
        assert _found(connection)[overtaken][0] == 5
        add_order(connection, shop, phone=_phone(0), at=_START + timedelta(days=60))
        assert run_refresh(built.settings).changes < 10
        assert _found(connection)[overtaken][0] == 4
        assert _found(connection) == _expected(connection)


def test_a_refresh_that_failed_after_a_shop_got_segments_leaves_none_when_it_loses_them(
    built: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        _add_customers(connection, shop, 49)
        run_refresh(built.settings)
        _add_customers(connection, shop, 1, first=49)

        # A fault: everything was built, and publishing fails.
        def fail(*_: object, **__: object) -> None:
            raise BuildFailed("It was made to fail.")

        monkeypatch.setattr("flows.steps.publish_all", fail)
        with pytest.raises(BuildFailed):
            run_refresh(built.settings)
        monkeypatch.undo()
        assert fetch(connection, "select count(*) from building.customer_segments") == [(50,)]
        connection.execute("delete from public.shop_orders where total_price = 10")
        run_refresh(built.settings)
        assert fetch(connection, "select count(*) from building.customer_segments") == [(0,)]
        assert _found(connection) == {}


def test_a_changed_grid_names_the_customers_of_its_shops_anew(built: Database) -> None:
    with built.connect() as connection:
        shop, other = add_shop(connection), add_shop(connection, "kofi")
        for each in (shop, other):
            _add_customers(connection, each, 50)
        run_refresh(built.settings)
        segments = "select distinct segment from analytics.customer_segments where shop_id = %s order by 1"
        before = fetch(connection, segments, other)

        connection.execute("insert into regulars.segment_grid values (%s, 5, 3, 'stars')", [shop])
        run_refresh(built.settings)
        assert ("stars",) in fetch(connection, segments, shop)
        assert fetch(connection, segments, other) == before

        connection.execute("update regulars.segment_grid set segment = 'best' where segment = 'loyal'")
        run_refresh(built.settings)
        assert ("best",) in fetch(connection, segments, other)
        assert ("stars",) in fetch(connection, segments, shop)
        assert _found(connection) == _expected(connection)

        connection.execute("delete from regulars.segment_grid where shop_id = %s", [shop])
        run_refresh(built.settings)
        assert fetch(connection, segments, shop) == fetch(connection, segments, other)


def test_a_change_of_segment_is_recorded_once_and_outlives_a_rebuild(built: Database) -> None:
    changes = (
        "select shop_customer_id, from_segment, to_segment, changed_at from analytics.segment_changes "
        "order by shop_customer_id, changed_at"
    )
    with built.connect() as connection:
        shop = add_shop(connection)
        _add_customers(connection, shop, 50)
        run_refresh(built.settings)
        assert fetch(connection, changes) == []

        customer = _customer(connection, shop, 0)
        before = _found(connection)
        order = add_order(connection, shop, phone=_phone(0), total="500", at=_START + timedelta(days=60))
        done = run_refresh(built.settings)
        after = _found(connection)
        moved = {who for who in before if before[who][4] != after[who][4]}
        assert customer in moved
        recorded = fetch(connection, changes)
        assert recorded == [(who, before[who][4], after[who][4], done.as_of) for who in sorted(moved)]
        [sizes] = fetch(
            connection,
            "select sum(customers), sum(moved_in), sum(moved_out), sum(net_amount) from analytics.segment_sizes",
        )
        assert sizes == (50, len(moved), len(moved), sum(range(10, 60)) + 500)

        add_order(connection, add_shop(connection, "kofi"))
        run_refresh(built.settings)
        run_refresh(built.settings, mode="rebuild")
        assert fetch(connection, changes) == recorded
        connection.execute("update public.shop_orders set order_status = 'refunded' where id = %s", [order])
        run_refresh(built.settings)
        assert [row[1:3] for row in fetch(connection, changes) if row[0] == customer] == [
            (before[customer][4], after[customer][4]),
            (after[customer][4], before[customer][4]),
        ]
        assert fetch(connection, "select sum(moved_in), sum(moved_out) from analytics.segment_sizes") == [(0, 0)]

        connection.execute("delete from public.shop_orders where total_price = 10")
        run_refresh(built.settings)
        assert [row for row in fetch(connection, changes) if row[0] == customer] == []


def test_a_month_later_nobody_has_moved_this_month(built: Database) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        _add_customers(connection, shop, 50)
        run_refresh(built.settings)
        add_order(connection, shop, phone=_phone(0), total="500", at=_START + timedelta(days=60))
        run_refresh(built.settings)
        moved = "select sum(moved_in) > 0 from analytics.segment_sizes"
        assert fetch(connection, moved) == [(True,)]
        with connection.transaction():
            connection.execute(
                "select set_config('regulars.now', %s, true)", [(datetime.now(UTC) + timedelta(days=32)).isoformat()]
            )
            assert fetch(connection, moved) == [(False,)]
