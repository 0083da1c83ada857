"""Erasure: nothing personal is left anywhere, the totals stay, and a proof says so."""

import sqlite3
from contextlib import closing

import pytest
from psycopg import sql

from flows.steps import run_refresh
from ingest import track
from ingest.bulk.matching import match_orders
from ingest.privacy.access import answer_access_request
from ingest.privacy.erasure_lock import ErasureBusy, no_erasure
from ingest.privacy.person import AmbiguousShop, UnknownPerson
from ingest.spool.file import SPOOL, Spool
from ingest.spool.replay import replay
from ingest.storage.connections import Connection
from ingest.storage.errors import InputError, UnknownShop
from tests.conftest import Database
from tests.person import (
    KEY,
    PHONE,
    SPELLINGS,
    a_past,
    checkout,
    erased,
    person_order,
    traces,
)
from tests.snapshot import snapshot
from tests.storefront import add_shop, fetch

pytestmark = pytest.mark.usefixtures("erasure_key")


@pytest.mark.parametrize("phone", SPELLINGS)
def test_any_spelling_erases_and_nothing_personal_is_left_anywhere(
    connection: Connection, spool: Spool, phone: str
) -> None:
    shop = add_shop(connection)
    orders = a_past(connection, shop, spool)
    assert traces(connection, spool) == [
        "public.shop_orders.customer_email", "public.shop_orders.customer_name", "public.shop_orders.customer_phone",
        "regulars.conflicts.event", "regulars.customers.customer_name", "regulars.customers.email",
        "regulars.customers.phone_number", "regulars.failures.event", "regulars.tracking.referrer",
        "regulars.tracking.utm_campaign", "regulars.tracking.utm_medium", "regulars.tracking.utm_source", SPOOL,
    ]  # fmt: skip
    done = erased(connection, spool, phone=phone)
    assert (done.was_erased, done.erased_by, done.orders, done.events) == (False, "Yaw", 5, 5)
    assert traces(connection, spool) == []
    # The orders still belong to one customer; the other customer's are untouched.
    (customer,) = fetch(connection, "select id from regulars.customers where erased_at is not null")
    assert fetch(
        connection, "select shop_order_id from regulars.tracking where shop_customer_id = %s order by 1", *customer
    ) == sorted((orders[name],) for name in ("tracked", "untracked", "failed", "spooled", "moved here"))
    assert fetch(connection, "select customer_phone from shop_orders where id = %s", orders["disputed"]) == [
        ("0203334444",)
    ]
    assert "0203334444" in spool.everything()[1].event
    assert fetch(connection, "select * from regulars.orders_to_match") == []
    assert fetch(connection, "select event ->> 'slug' from regulars.conflicts order by 1") == [("b",), ("promo",)]


def test_the_totals_stay_through_a_refresh_and_a_rebuild(built: Database, spool: Spool) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        a_past(connection, shop, spool)
        replay(connection, spool)
        run_refresh(built.settings)
        # The next refresh would note its first attempt at a forecast.
        run_refresh(built.settings)
        before, of_campaigns = _without_campaigns(connection), fetch(connection, _CAMPAIGNS)
        assert before["customers"]
        erased(connection, spool)
        for mode in ("refresh", "rebuild"):
            run_refresh(built.settings, mode=mode)
            assert _without_campaigns(connection) == before
            # The campaigns are gone; what they sum up to stays.
            assert fetch(connection, _CAMPAIGNS) == of_campaigns
            assert traces(connection, spool) == []
            assert fetch(connection, "select distinct utm_source, utm_campaign from analytics.campaign_analytics") == [
                ("unknown", "unknown")
            ]


_CAMPAIGNS = """
    select month, sum(visits), sum(orders), sum(sales), sum(new_customers), sum(net_amount), sum(first_touch_net_amount)
    from analytics.campaign_months
    group by month
    order by month
"""


def _without_campaigns(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """All that readers see, except for referrers and campaigns."""
    rows = snapshot(connection)
    for name in ("orders", "purchases", "visits"):
        columns = [
            str(column)
            for (column,) in fetch(
                connection,
                "select column_name from information_schema.columns where table_schema = 'analytics' "
                "and table_name = %s and column_name !~ 'utm_|referrer' order by 1",
                name,
            )
        ]
        query = sql.SQL("select {} from analytics.{}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(name)
        )
        rows[name] = sorted(connection.execute(query), key=repr)
        assert rows[name]
    return {name: found for name, found in rows.items() if not name.startswith("campaign_")}


def test_another_shops_customer_of_the_same_phone_is_untouched(connection: Connection, spool: Spool) -> None:
    mine, theirs = add_shop(connection), add_shop(connection, "kofi-data")
    for shop in (mine, theirs):
        order = person_order(connection, shop)
        track(connection, checkout(shop, order))
        track(connection, checkout(shop, order, slug="promo"))
        spool.add("checkout", checkout(shop, order).model_dump_json())
    everything = (
        "select c.*, o.*, t.*, f.event from regulars.customers c join regulars.tracking t on t.shop_customer_id = c.id "
        "join shop_orders o on t.shop_order_id = o.id join regulars.conflicts f on f.order_id = o.id "
        "where c.shop_id = %s"
    )
    before = fetch(connection, everything, theirs), spool.everything()[1]
    assert before[0]
    erased(connection, spool)
    assert (fetch(connection, everything, theirs), spool.everything()[1]) == before
    old = person_order(connection, theirs)
    assert track(connection, checkout(theirs, old)).outcome == "returning_customer"


@pytest.mark.parametrize(
    "debris", [f'["{PHONE}"]', f'"{PHONE}"', "233245550123", "245550123", f'[{{"phone": "{PHONE}"}}]']
)
def test_debris_that_is_json_but_no_event_is_deleted_with_the_person(
    connection: Connection, spool: Spool, debris: str
) -> None:
    person_order(connection, add_shop(connection))
    spool.add("checkout", debris)
    assert erased(connection, spool).events == 1
    assert traces(connection, spool) == []
    assert spool.everything() == []


def test_a_slug_of_two_shops_erases_nobody_until_the_shops_id_is_given(connection: Connection, spool: Spool) -> None:
    mine, theirs = add_shop(connection), add_shop(connection, "kofi-data")
    # The link that one shop handed out once is what another calls itself now.
    connection.execute("insert into shop_slugs (shop_id, slug) values (%s, 'ama-data')", [theirs])
    orders = [person_order(connection, shop) for shop in (mine, theirs)]
    with pytest.raises(AmbiguousShop, match=r"2 shops .* id of the shop"):
        erased(connection, spool)
    assert fetch(connection, "select count(*) from shop_orders where customer_email is not null") == [(2,)]
    assert erased(connection, spool, shop=str(theirs).upper()).orders == 1
    assert fetch(connection, "select id from shop_orders where customer_email <> ''") == [(orders[0],)]
    assert erased(connection, spool, shop=str(mine)).orders == 1
    # A shop's own link makes nothing ambiguous.
    connection.execute("insert into shop_slugs (shop_id, slug) values (%s, 'kofi-data')", [theirs])
    assert erased(connection, spool, shop="kofi-data").was_erased


def test_a_second_erasure_returns_the_first_and_removes_what_was_left(connection: Connection, spool: Spool) -> None:
    shop = add_shop(connection)
    track(connection, checkout(shop, order := person_order(connection, shop)))
    first = erased(connection, spool)
    spool.add("checkout", checkout(shop, order).model_dump_json())
    second = erased(connection, spool, phone="+233 24 555 0123")
    assert (second.was_erased, second.erased_at, second.events) == (True, first.erased_at, 1)
    assert traces(connection, spool) == []
    assert fetch(connection, "select count(*) from regulars.erasures") == [(1,)]


def test_an_order_that_has_become_another_customers_stays_theirs(connection: Connection, spool: Spool) -> None:
    shop = add_shop(connection)
    orders = [person_order(connection, shop) for _ in range(2)]
    for order in orders:
        track(connection, checkout(shop, order))
    connection.execute("update shop_orders set customer_phone = '0203334444' where id = %s", [orders[1]])
    held = answer_access_request(connection, shop="ama-data", phone=PHONE, key=None, spool=spool)
    assert [visit["order_id"] for visit in held["visits"]] == [orders[0]]
    assert erased(connection, spool).orders == 1
    match_orders(connection)
    assert fetch(
        connection, "select o.customer_phone, c.phone_number from shop_orders o join regulars.tracking t "
        "on t.shop_order_id = o.id join regulars.customers c on t.shop_customer_id = c.id where o.id = %s", orders[1],
    ) == [("0203334444", "+233203334444")]  # fmt: skip


def test_nobody_is_erased_while_orders_are_loaded(connection: Connection, migrated: Database, spool: Spool) -> None:
    person_order(connection, add_shop(connection))
    with migrated.connect() as other, no_erasure(other), pytest.raises(ErasureBusy):
        erased(connection, spool)
    assert erased(connection, spool).orders == 1


def test_events_that_were_deleted_long_ago_leave_the_spools_file_too(connection: Connection, spool: Spool) -> None:
    shop = add_shop(connection)
    order = person_order(connection, shop)
    for _ in range(40):
        spool.add("checkout", checkout(shop, order).model_dump_json())
    # A SQLite that leaves deleted rows in its free pages, and another process that has the file open.
    with closing(sqlite3.connect(spool.path)) as other:
        other.execute("pragma secure_delete = off")
        with other:
            other.execute("delete from events")
        assert SPOOL in traces(connection, spool)
        erased(connection, spool)
        assert traces(connection, spool) == []


def test_the_proof_holds_no_phone_and_changes_with_the_key_and_the_shop(connection: Connection, spool: Spool) -> None:
    hashes = set()
    for slug in ("ama-data", "kofi-data"):
        shop = add_shop(connection, slug)
        person_order(connection, shop)
        for each in (KEY, KEY + " but another"):
            connection.execute("begin")
            done = erased(connection, spool, shop=slug, key=each)
            ((phone_hash, at, by),) = fetch(
                connection, "select phone_hash, erased_at, erased_by from regulars.erasures where shop_id = %s", shop
            )
            hashes.add(phone_hash)
            assert (at, by) == (done.erased_at, "Yaw")
            connection.execute("rollback")
    assert {len(bytes(each)) for each in hashes} == {32}  # type: ignore[call-overload]
    assert len(hashes) == 4


def test_the_row_of_an_erased_customer_cannot_be_deleted(connection: Connection, spool: Spool) -> None:
    person_order(connection, add_shop(connection))
    erased(connection, spool)
    with pytest.raises(Exception, match=r"row can't be deleted"):
        connection.execute("delete from regulars.customers")


def test_an_erasure_that_fails_half_way_is_rolled_back(
    connection: Connection, migrated: Database, spool: Spool
) -> None:
    shop = add_shop(connection)
    a_past(connection, shop, spool)
    before = traces(connection, spool)
    with migrated.connect() as other, other.transaction():
        other.execute("lock table regulars.conflicts in access exclusive mode")
        with pytest.raises(ErasureBusy, match="nothing was erased"):
            erased(connection, spool)
    assert traces(connection, spool) == before
    assert fetch(connection, "select count(*) from regulars.erasures") == [(0,)]


@pytest.mark.parametrize(
    ("shop", "phone", "error", "said"),
    [
        ("nobody", PHONE, UnknownShop, "no shop with that slug"),
        (PHONE, "ama-data", UnknownShop, "no shop with that slug"),
        ("ama-data", "0245550199", UnknownPerson, "nothing about that phone"),
        ("ama-data", "02455501234567", InputError, "can't be read as one of GH"),
    ],
)
def test_the_error_for_a_wrong_shop_or_phone_does_not_hold_the_phone(
    connection: Connection, spool: Spool, shop: str, phone: str, error: type[Exception], said: str
) -> None:
    person_order(connection, add_shop(connection))
    with pytest.raises(error, match=said) as caught:
        erased(connection, spool, shop=shop, phone=phone)
    assert "2455501" not in str(caught.value)
    assert fetch(connection, "select count(*) from regulars.erasures") == [(0,)]
