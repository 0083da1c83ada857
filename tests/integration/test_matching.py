"""Matching orders with customers in bulk: what changes an order's customer, and what doesn't."""

from flows.steps import Run, Step, run_refresh
from ingest import Checkout, track
from ingest.bulk.matching import match_orders
from tests.conftest import Database
from tests.storefront import add_order, add_shop, fetch


def test_correcting_a_shops_country_reads_all_its_phones_again(built: Database) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        other = add_shop(connection, "kofi-data")
        tracked = add_order(connection, shop, phone=None)
        local = [add_order(connection, shop, phone="020 123 4567") for _ in range(2)]
        foreign = add_order(connection, shop, phone="0712 345 678")
        add_order(connection, other, phone="020 123 4567")
        track(connection, Checkout(shop_id=shop, order_id=tracked, phone="+233 24 123 4567"))
        run_refresh(built.settings)
        assert fetch(connection, "select order_id from regulars.unreadable_phones") == [(foreign,)]

        connection.execute("update user_shops set country = 'KE' where id = %s", [shop])
        late = add_order(connection, shop, phone="020 123 4567")
        run_refresh(built.settings)

        assert fetch(
            connection,
            "select o.id, c.phone_number from shop_orders o left join regulars.tracking t on t.shop_order_id = o.id "
            "left join regulars.customers c on c.shop_id = t.shop_id and c.id = t.shop_customer_id "
            "where o.shop_id = %s order by o.id",
            shop,
        ) == sorted(
            [
                (tracked, "+233241234567"),
                (foreign, "+254712345678"),
                *((order, "+254201234567") for order in (*local, late)),
            ]
        )
        # One buyer with three purchases, not two buyers; the other shop's orders are untouched.
        assert fetch(
            connection, "select total_purchases from analytics.customers where shop_id = %s order by 1", shop
        ) == [(1,), (1,), (3,)]
        assert fetch(connection, "select phone_number from regulars.customers where shop_id = %s", other) == [
            ("+233201234567",)
        ]


def test_the_checkouts_phone_counts_even_if_the_order_has_another(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        order = add_order(connection, shop, phone="0201112222")
        # A refresh queued it before its checkout was replayed from a spool.
        connection.execute("select regulars.claim_changes()")
        track(connection, Checkout(shop_id=shop, order_id=order, phone="0241234567"))
        match_orders(connection)
        assert fetch(connection, "select phone_number from regulars.customers") == [("+233241234567",)]
        assert fetch(connection, "select count(*) from regulars.orders_to_match") == [(0,)]
        # Then the storefront corrects the phone.
        connection.execute("update shop_orders set customer_phone = '0203334444' where id = %s", [order])
        match_orders(connection)
        assert fetch(
            connection,
            "select c.phone_number, t.accessed_at is not null from regulars.tracking t "
            "inner join regulars.customers c on c.id = t.shop_customer_id",
        ) == [("+233203334444", True)]


def test_of_orders_of_one_moment_the_one_with_the_lowest_id_names_the_customer(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        for _ in range(30):
            add_order(connection, shop)
        connection.execute("update shop_orders set customer_name = id::text")
        match_orders(connection)
        lowest = fetch(connection, "select min(id::text) from shop_orders")
        assert fetch(connection, "select customer_name from regulars.customers") == lowest


def test_an_order_that_comes_after_the_matching_is_in_all_numbers_with_its_customer_or_in_none(built: Database) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        add_order(connection, shop, phone="0241234567")
        late: list[object] = []

        def perform(step: Step, run: Run) -> object:
            if step.__name__ == "claim_batch" and not late:
                late.append(add_order(connection, shop, phone="0209999999"))
            return step(run)

        counted = (
            "select (select count(*) from analytics.orders), (select sum(sales) from analytics.shop_days), "
            "(select count(*) from analytics.customers)"
        )
        run_refresh(built.settings, perform=perform)
        assert fetch(connection, counted) == [(1, 1, 1)]
        run_refresh(built.settings)
        assert fetch(connection, counted) == [(2, 2, 2)]


def test_an_order_that_could_not_be_matched_is_counted_without_its_customer(built: Database) -> None:
    with built.connect() as connection, built.connect() as checkout:
        order = add_order(connection, add_shop(connection))
        with checkout.transaction():
            checkout.execute("select from shop_orders where id = %s for update", [order])
            run_refresh(built.settings)
        assert fetch(connection, "select total_orders, total_customers from analytics.shop_overview") == [(1, 0)]


def test_an_order_that_moves_to_another_shop_gets_that_shops_customer_and_loses_its_visit(migrated: Database) -> None:
    with migrated.connect() as connection:
        first, second = add_shop(connection), add_shop(connection, "kofi-data")
        orders = [add_order(connection, first), add_order(connection, first)]
        track(connection, Checkout(shop_id=first, order_id=orders[0], phone="0241234567", slug="promo"))
        match_orders(connection)
        connection.execute("update shop_orders set shop_id = %s", [second])
        match_orders(connection)
        assert fetch(
            connection,
            "select shop_id, shop_order_id is not null, accessed_via_slug from regulars.tracking order by 2",
        ) == [(first, False, "promo"), (second, True, None), (second, True, None)]
        assert fetch(connection, "select count(distinct shop_customer_id) from regulars.tracking") == [(1,)]


def test_a_match_is_deleted_with_its_order_and_a_visit_stays(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        tracked, matched = add_order(connection, shop), add_order(connection, shop)
        track(connection, Checkout(shop_id=shop, order_id=tracked, phone="0241234567", slug="promo"))
        match_orders(connection)
        connection.execute("delete from shop_orders")
        assert fetch(connection, "select shop_order_id, accessed_via_slug from regulars.tracking") == [(None, "promo")]
        assert matched


def test_no_chunk_is_matched_by_a_plan_that_was_made_for_smaller_tables(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        for _ in range(20):
            add_order(connection, shop)
        # psycopg prepares what has run five times, and PostgreSQL keeps a plan after five executions of that.
        match_orders(connection, chunk=1)
        kept = fetch(
            connection,
            "select sum(custom_plans) >= 10, sum(generic_plans) from pg_prepared_statements "
            "where position('regulars.customers' in statement) > 0",
        )
    assert kept == [(True, 0)]
