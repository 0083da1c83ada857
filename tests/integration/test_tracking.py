"""`track` and `visit` are idempotent: an event counts once, and a phone is one customer, concurrently too."""

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from ingest import Checkout, Visit, track, visit
from ingest.bulk.retrying import retry_failures
from ingest.storage.errors import UnknownOrder, UnknownShop
from tests.conftest import Database
from tests.storefront import MOMENT, add_order, add_shop, fetch

SPELLINGS = [
    "0241234567", "024 123 4567", "024-123-4567", "+233241234567", "00233241234567", "233241234567",
    "+233 (0)24 123 4567", "０２４１２３４５６７",
]  # fmt: skip


def test_a_checkout_is_matched_with_a_new_customer_and_leaves_one_tracking_row(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        order = add_order(connection, shop)
        tracked = track(connection, Checkout(shop_id=shop, order_id=order, phone="024 123 4567", slug="ama-data"))
        assert tracked.outcome == "new_customer"
        assert fetch(connection, "select id, phone_number from regulars.customers") == [
            (tracked.customer_id, "+233241234567")
        ]
        assert fetch(connection, "select shop_customer_id from regulars.tracking where shop_order_id is not null") == [
            (tracked.customer_id,)
        ]
        assert fetch(
            connection,
            "select id, shop_order_id, accessed_via_slug from regulars.tracking",
        ) == [(tracked.visit_id, order, "ama-data")]


@pytest.mark.usefixtures("counts_on_time")
def test_one_checkout_fifty_times_from_eight_threads_in_eight_spellings_counts_once(
    migrated: Database,
) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        order = add_order(connection, shop)

    def attempt(number: int) -> str:
        with migrated.connect() as connection:
            checkout = Checkout(shop_id=shop, order_id=order, phone=SPELLINGS[number % 8])
            return track(connection, checkout).outcome

    with ThreadPoolExecutor(max_workers=8) as threads:
        outcomes = list(threads.map(attempt, range(50)))

    assert sorted(outcomes) == ["new_customer"] + ["replayed"] * 49
    with migrated.connect() as connection:
        assert fetch(connection, "select count(*) from regulars.customers") == [(1,)]
        assert fetch(connection, "select count(*) from regulars.tracking") == [(1,)]
        assert fetch(connection, "select count(shop_customer_id) from regulars.tracking") == [(1,)]


@pytest.mark.usefixtures("counts_on_time")
def test_first_purchases_of_one_phone_at_the_same_time_make_one_customer(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        orders = [add_order(connection, shop) for _ in range(40)]

    def attempt(number: int) -> object:
        with migrated.connect() as connection:
            checkout = Checkout(shop_id=shop, order_id=orders[number], phone=SPELLINGS[number % 8])
            return track(connection, checkout).customer_id

    with ThreadPoolExecutor(max_workers=8) as threads:
        assert len(set(threads.map(attempt, range(40)))) == 1


def test_plans_that_were_made_while_a_shop_was_small_scan_no_whole_table(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)

        checkouts = [
            Checkout(shop_id=shop, order_id=add_order(connection, shop), phone=f"0241{n:06d}", visit_id=uuid4())
            for n in range(25)
        ]
        for checkout in checkouts[:8]:
            track(connection, checkout)
        connection.execute("analyze")
        for checkout in checkouts[8:24]:
            track(connection, checkout)
        with connection.transaction():
            track(connection, checkouts[24])
            for table in ("shop_orders", "regulars.customers", "regulars.tracking"):
                ((read,),) = fetch(connection, "select pg_stat_get_xact_tuples_returned(%s::regclass)", table)
                assert read in (0, 1), table


def test_a_purchase_completes_its_visit(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        visit_id = visit(connection, Visit(shop_id=shop, slug="promo", utm_source="whatsapp"))
        order = add_order(connection, shop)
        tracked = track(connection, Checkout(shop_id=shop, order_id=order, phone="0241234567", visit_id=visit_id))
        assert tracked.visit_id == visit_id
        assert fetch(
            connection,
            "select accessed_via_slug, shop_order_id, utm_source from regulars.tracking",
        ) == [("promo", order, "whatsapp")]


def test_a_visit_that_another_order_completed_stays_with_that_order(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        visit_id = visit(connection, Visit(shop_id=shop, slug="promo"))
        first, second = add_order(connection, shop), add_order(connection, shop)
        track(connection, Checkout(shop_id=shop, order_id=first, phone="0241234567", visit_id=visit_id))
        track(connection, Checkout(shop_id=shop, order_id=second, phone="0241234567", visit_id=visit_id))
        assert fetch(connection, "select shop_order_id from regulars.tracking where id = %s", visit_id) == [(first,)]
        assert fetch(connection, "select count(*) from regulars.tracking") == [(2,)]


def test_another_shops_visit_is_not_completed(migrated: Database) -> None:
    with migrated.connect() as connection:
        mine, theirs = add_shop(connection), add_shop(connection, "kofi-data")
        visit_id = visit(connection, Visit(shop_id=theirs))
        order = add_order(connection, mine)
        track(connection, Checkout(shop_id=mine, order_id=order, phone="0241234567", visit_id=visit_id))
        assert fetch(connection, "select shop_order_id from regulars.tracking where id = %s", visit_id) == [(None,)]


def test_a_visit_that_arrives_after_its_checkout_completes_the_checkouts_row(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        order = add_order(connection, shop)
        late = Visit(shop_id=shop, slug="promo", utm_source="whatsapp", accessed_at=MOMENT)
        checkout = Checkout(shop_id=shop, order_id=order, phone="0241234567", visit_id=late.visit_id, slug="ama-data")
        assert track(connection, checkout).visit_id == late.visit_id
        rows = "select id, shop_order_id, accessed_via_slug, utm_source from regulars.tracking"
        assert fetch(connection, rows) == [(late.visit_id, order, "ama-data", None)]
        for again in (late, late.model_copy(update={"slug": "other"})):
            visit(connection, again)
            assert fetch(connection, rows) == [(late.visit_id, order, "promo", "whatsapp")]
        assert fetch(connection, "select accessed_at from regulars.tracking") == [(MOMENT,)]
        assert track(connection, checkout).outcome == "replayed"


def test_a_late_visit_without_a_time_has_the_time_of_its_checkout(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        late = Visit(shop_id=shop, slug="promo")
        order = add_order(connection, shop)
        track(connection, Checkout(shop_id=shop, order_id=order, visit_id=late.visit_id, accessed_at=MOMENT))
        visit(connection, late)
        assert fetch(connection, "select accessed_via_slug, accessed_at from regulars.tracking") == [("promo", MOMENT)]


def test_a_late_visit_of_two_orders_goes_to_the_first(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop, other = add_shop(connection), add_shop(connection, "kofi-data")
        late = Visit(shop_id=shop, slug="promo")
        orders = [add_order(connection, shop) for _ in range(2)]
        for order in orders:
            track(connection, Checkout(shop_id=shop, order_id=order, phone="0241234567", visit_id=late.visit_id))
        visit(connection, late.model_copy(update={"shop_id": other, "slug": "stranger"}))
        visit(connection, late)
        assert fetch(
            connection, "select accessed_via_slug from regulars.tracking order by shop_order_id = %s desc", orders[0]
        ) == [("promo",), (None,)]


def test_a_visit_and_its_checkout_at_the_same_time_make_one_row(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        orders = [add_order(connection, shop) for _ in range(60)]
    visits = [Visit(shop_id=shop, slug="promo") for _ in orders]

    def tell(which: bool) -> None:
        with migrated.connect() as connection:
            for order, one in zip(orders, visits, strict=True):
                if which:
                    visit(connection, one)
                else:
                    checkout = Checkout(shop_id=shop, order_id=order, phone="0241234567", visit_id=one.visit_id)
                    assert track(connection, checkout).visit_id == one.visit_id

    with ThreadPoolExecutor(max_workers=2) as threads:
        list(threads.map(tell, (True, False)))
    with migrated.connect() as connection:
        assert fetch(
            connection,
            "select count(*), count(distinct shop_order_id), min(accessed_via_slug), count(accessed_via_slug) "
            "from regulars.tracking where shop_order_id is not null and not awaits_visit",
        ) == [(60, 60, "promo", 60)]


def test_tracking_a_visit_twice_changes_nothing(migrated: Database) -> None:
    with migrated.connect() as connection:
        one = Visit(shop_id=add_shop(connection), slug="promo")
        visit(connection, one)
        visit(connection, one)
        assert fetch(connection, "select count(*) from regulars.tracking") == [(1,)]


def test_one_phone_is_two_customers_in_two_shops(migrated: Database) -> None:
    with migrated.connect() as connection:
        shops = [add_shop(connection), add_shop(connection, "kofi-data")]
        customers = {
            track(connection, Checkout(shop_id=s, order_id=add_order(connection, s), phone="0241234567")).customer_id
            for s in shops
        }
        assert len(customers) == 2


def test_the_phone_is_read_in_the_shops_country_even_after_it_has_changed(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection, country="US")
        tracked = track(
            connection, Checkout(shop_id=shop, order_id=add_order(connection, shop), phone="(212) 555-2368")
        )
        assert tracked.outcome == "new_customer"
        connection.execute("update user_shops set country = 'GH'")
        tracked = track(connection, Checkout(shop_id=shop, order_id=add_order(connection, shop), phone="0241234567"))
        assert tracked.outcome == "new_customer"


def test_a_shop_of_which_the_country_is_not_known_is_tracked_by_phones_with_a_country_code(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        connection.execute("alter table user_shops alter country drop not null; update user_shops set country = null")
        for phone, outcome in (
            ("+233241234567", "new_customer"),
            ("00233 24 123 4567", "unreadable"),
            ("+233 24 123 4567", "returning_customer"),
        ):
            order = add_order(connection, shop, phone=phone)
            assert track(connection, Checkout(shop_id=shop, order_id=order, phone=phone)).outcome == outcome


@pytest.mark.parametrize("phone", [None, "", "  ", "12", "0" * 300, "call me", "\0", "😀", "0251234567"])
def test_the_reason_of_an_unreadable_phone_is_recorded(migrated: Database, phone: str | None) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        order = add_order(connection, shop, phone=None)
        tracked = track(connection, Checkout(shop_id=shop, order_id=order, phone=phone))
        assert tracked.outcome == "unreadable"
        assert fetch(connection, "select order_id, reason from regulars.unreadable_phones") == [(order, tracked.reason)]
        assert fetch(connection, "select shop_order_id from regulars.tracking") == [(order,)]


def test_a_naive_moment_is_utc_whatever_the_connections_time_zone(migrated: Database) -> None:
    with migrated.connect() as connection:
        connection.execute("set time zone 'Asia/Kolkata'")
        shop = add_shop(connection)
        naive = MOMENT.replace(tzinfo=None)
        visit(connection, Visit(shop_id=shop, accessed_at=naive))
        track(connection, Checkout(shop_id=shop, order_id=add_order(connection, shop), accessed_at=naive))
        assert fetch(connection, "select accessed_at from regulars.tracking") == [(MOMENT,), (MOMENT,)]


def test_names_with_nul_emoji_and_lone_surrogates_are_stored(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        name = "A\0ma 😀 \ud83d"
        checkout = Checkout(shop_id=shop, order_id=add_order(connection, shop), phone="0241234567", customer_name=name)
        track(connection, checkout)
        assert fetch(connection, "select customer_name from regulars.customers") == [("Ama 😀",)]


def test_an_unknown_shop_or_order_is_an_error_that_says_so_and_writes_nothing(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop, other = add_shop(connection), add_shop(connection, "kofi-data")
        order = add_order(connection, shop)
        with pytest.raises(UnknownShop, match="user_shops"):
            track(connection, Checkout(shop_id=uuid4(), order_id=order, phone="0241234567"))
        with pytest.raises(UnknownOrder, match="shop_orders"):
            track(connection, Checkout(shop_id=shop, order_id=uuid4(), phone="0241234567"))
        with pytest.raises(UnknownOrder):
            track(connection, Checkout(shop_id=other, order_id=order, phone="0241234567"))
        with pytest.raises(UnknownShop):
            visit(connection, Visit(shop_id=uuid4()))
        assert fetch(connection, "select count(*) from regulars.customers") == [(0,)]
        assert fetch(connection, "select count(*) from regulars.tracking") == [(0,)]


def test_the_same_order_with_other_facts_is_a_conflict_and_the_first_stands(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        order = add_order(connection, shop)
        first = track(connection, Checkout(shop_id=shop, order_id=order, phone="0241234567", slug="ama-data"))
        other = Checkout(shop_id=shop, order_id=order, phone="0201234567", slug="promo")
        second = track(connection, other)
        assert (second.outcome, second.customer_id) == ("conflict", first.customer_id)
        assert track(connection, other).outcome == "conflict"
        # A caller that tries again may set a new time.
        same = Checkout(shop_id=shop, order_id=order, phone="024 123 4567", slug="ama-data", accessed_at=MOMENT)
        assert track(connection, same).outcome == "replayed"
        assert fetch(connection, "select order_id, event ->> 'slug' from regulars.conflicts") == [(order, "promo")]
        assert fetch(connection, "select accessed_via_slug from regulars.tracking") == [("ama-data",)]
        assert fetch(connection, "select count(*) from regulars.customers") == [(1,)]


def test_a_checkout_that_fails_inside_the_database_is_rolled_back_and_stored_there(migrated: Database) -> None:
    with migrated.connect() as connection, migrated.connect() as other:
        shop = add_shop(connection)
        order = add_order(connection, shop)
        other.execute("begin")
        other.execute("select 1 from shop_orders where id = %s for update", [order])
        checkout = Checkout(shop_id=shop, order_id=order, phone="0241234567", slug="ama-data")
        assert track(connection, checkout).outcome == "failed"
        assert track(connection, checkout).outcome == "failed"
        other.execute("rollback")
        assert fetch(connection, "select order_id, tries, event ->> 'slug' from regulars.failures") == [
            (order, 2, "ama-data")
        ]
        assert fetch(connection, "select event ? 'accessed_at' from regulars.failures") == [(True,)]
        assert fetch(connection, "select count(*) from regulars.customers") == [(0,)]
        assert fetch(connection, "select count(*) from regulars.tracking") == [(0,)]
        connection.execute("update regulars.failures set event = event || %s", [f'{{"accessed_at": "{MOMENT}"}}'])
        assert retry_failures(connection) == 1
        assert fetch(connection, "select accessed_at from regulars.tracking") == [(MOMENT,)]
        assert fetch(connection, "select count(shop_customer_id) from regulars.tracking") == [(1,)]
        assert fetch(connection, "select count(*) from regulars.failures") == [(0,)]
        assert track(connection, checkout).outcome == "replayed"


def test_a_failed_checkout_that_can_not_be_read_any_more_holds_up_no_other_and_its_reason_names_nobody(
    migrated: Database,
) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        odd, endless, good = (add_order(connection, shop) for _ in range(3))
        event = {"shop_id": str(shop), "phone": "0241234567", "email": "ama@example.com"}
        for order, more in ((odd, {"of_a_newer_release": "0241234567"}), (endless, {"accessed_at": "x"}), (good, {})):
            connection.execute(
                "insert into regulars.failures (order_id, shop_id, event, reason) values (%s, %s, %s, 'a deadlock')",
                [order, shop, json.dumps(event | {"order_id": str(order)} | more)],
            )
        assert retry_failures(connection) == 1
        assert sorted(fetch(connection, "select order_id, tries, reason from regulars.failures")) == sorted(
            (order, 2, "ValidationError") for order in (odd, endless)
        )


def test_a_customer_who_is_deleted_leaves_order_and_visit_without_one(migrated: Database) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        track(connection, Checkout(shop_id=shop, order_id=add_order(connection, shop), phone="0241234567"))
        connection.execute("delete from regulars.customers")
        assert fetch(connection, "select shop_customer_id from regulars.tracking") == [(None,)]
        assert fetch(connection, "select shop_customer_id from regulars.tracking where shop_order_id is not null") == [
            (None,)
        ]
