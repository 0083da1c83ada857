"""Erasure lasts: no event that arrives later brings the person back, and a new purchase makes a new customer."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg.rows import dict_row, tuple_row

from ingest import Visit, track, visit
from ingest.bulk.import_file import ImportFile, OrderRow
from ingest.bulk.loading import load_orders
from ingest.bulk.matching import match_orders
from ingest.bulk.retrying import retry_failures
from ingest.privacy.access import report_person
from ingest.privacy.person import find_person
from ingest.spool.file import SPOOL, Spool
from ingest.spool.replay import replay
from ingest.storage.connections import Connection
from ingest.storage.errors import SettingError
from tests.person import E164, EMAIL, KEY, NAME, ORIGIN, PHONE, a_past, checkout, erased, person_order, traces
from tests.storefront import add_order, add_shop, fetch
from tests.unit.test_import_file import order as export_row
from tests.unit.test_import_file import write

pytestmark = pytest.mark.usefixtures("erasure_key")


def test_nothing_that_arrives_again_brings_the_person_back(
    connection: Connection, spool: Spool, tmp_path: Path
) -> None:
    shop = add_shop(connection)
    orders = a_past(connection, shop, spool)
    rows = [
        export_row(id=str(order), customer_phone=PHONE, customer_email=EMAIL, customer_name=NAME)
        for order in orders.values()
    ][:5]
    # Orders that are not in this database, in another spelling, as in an old export or a restored backup.
    rows.append(export_row(customer_phone="+233 24 555 0123", customer_email=EMAIL, customer_name=NAME))
    # Orders of theirs, for which the file has an unreadable phone or another customer's.
    rows.append(rows[0] | {"customer_phone": "12"})
    rows.append(rows[1] | {"customer_phone": "0207776666"})
    export = write(tmp_path / "orders.csv", *rows)
    erased(connection, spool)
    ((customer,),) = fetch(connection, "select id from regulars.customers where erased_at is not null")
    phones = fetch(connection, "select phone_number from regulars.customers order by 1")

    def assert_still_gone() -> None:
        assert traces(connection, spool) == []
        assert fetch(connection, "select phone_number from regulars.customers order by 1") == phones

    # Replay another machine's spool.
    elsewhere = Spool(tmp_path / "elsewhere" / SPOOL)
    never_seen = add_order(connection, shop, phone=None)
    for order in [*orders.values(), never_seen]:
        elsewhere.add("checkout", checkout(shop, order).model_dump_json())
        elsewhere.add("checkout", checkout(shop, order, slug="other").model_dump_json())
    assert replay(connection, elsewhere).left == 0
    assert_still_gone()
    assert fetch(connection, "select shop_customer_id from regulars.tracking where shop_order_id = %s", never_seen) == [
        (customer,)
    ]

    replay(connection, spool)
    retry_failures(connection)
    match_orders(connection)
    assert_still_gone()
    assert fetch(connection, "select count(*) from regulars.failures") == [(0,)]

    loaded = load_orders(connection, ImportFile(export, OrderRow))
    assert loaded.rejects == []
    assert_still_gone()
    assert load_orders(connection, ImportFile(export, OrderRow)).written == 0
    match_orders(connection)
    assert_still_gone()
    assert fetch(
        connection, "select count(shop_order_id) from regulars.tracking where shop_customer_id = %s", customer
    ) == [(7,)]

    # Identity that the storefront writes itself is removed by the next match.
    person_order(connection, shop)
    connection.execute("update shop_orders set customer_phone = %s where id = %s", [PHONE, orders["tracked"]])
    match_orders(connection)
    assert_still_gone()
    assert fetch(
        connection, "select count(shop_order_id) from regulars.tracking where shop_customer_id = %s", customer
    ) == [(8,)]
    assert fetch(connection, "select count(*) from regulars.unreadable_phones") == [(0,)]


def _origins(connection: Connection) -> list[tuple[object, ...]]:
    """Where the erased people's visits came from, as far as it is still kept."""
    return fetch(
        connection,
        "select t.referrer, t.utm_source, t.utm_medium, t.utm_campaign from regulars.tracking as t "
        "inner join regulars.erasures as e on t.shop_id = e.shop_id and t.shop_customer_id = e.shop_customer_id "
        "where num_nonnulls(t.referrer, t.utm_source, t.utm_medium, t.utm_campaign) > 0",
    )


def test_a_visit_that_arrives_late_says_nothing_of_an_erased_person(connection: Connection, spool: Spool) -> None:
    shop = add_shop(connection)
    first, late = (Visit(shop_id=shop, slug="promo", **ORIGIN) for _ in range(2))
    track(connection, checkout(shop, person_order(connection, shop), visit_id=first.visit_id))
    erased(connection, spool)
    # An older order, of which this database hears only now; its visit comes last.
    old = add_order(connection, shop, phone=None)
    track(connection, checkout(shop, old, visit_id=late.visit_id))
    assert _origins(connection) == []
    for each in (first, late):
        visit(connection, each)
    assert _origins(connection) == []
    assert traces(connection, spool) == []
    assert fetch(connection, "select count(distinct id) from regulars.tracking where shop_customer_id is not null") == [
        (2,)
    ]


def test_a_visit_that_was_there_first_says_nothing_of_an_erased_person(connection: Connection, spool: Spool) -> None:
    shop = add_shop(connection)
    person_order(connection, shop)
    erased(connection, spool)
    opened = visit(connection, Visit(shop_id=shop, slug="promo", **ORIGIN))
    track(connection, checkout(shop, add_order(connection, shop, phone=None), visit_id=opened))
    assert _origins(connection) == []
    assert traces(connection, spool) == []


def test_an_old_export_brings_no_origin_of_an_erased_persons_visits_back(
    connection: Connection, spool: Spool, tmp_path: Path
) -> None:
    shop = add_shop(connection)
    known = person_order(connection, shop)
    told = {"customer_phone": PHONE, "accessed_via_slug": "promo", **ORIGIN}
    # An order that is known, and by the row alone known to be theirs; and one that is not.
    rows = [export_row(id=str(known), **told | {"customer_phone": "12"}), export_row(**told)]
    load_orders(connection, ImportFile(write(tmp_path / "before.csv", *rows[:1]), OrderRow))
    person_order(connection, shop)
    erased(connection, spool)
    # The order with the unreadable phone is nobody's until the storefront says whose it is.
    connection.execute("update shop_orders set customer_phone = %s where id = %s", [PHONE, known])
    match_orders(connection)
    assert _origins(connection) == []
    assert load_orders(connection, ImportFile(write(tmp_path / "again.csv", *rows), OrderRow)).rejects == []
    assert _origins(connection) == []
    assert fetch(connection, "select count(*) from regulars.tracking where accessed_via_slug = 'promo'") == [(2,)]

    # Whatever else has written there is removed by the next match.
    connection.execute("update regulars.tracking set referrer = 'https://wa.me/233245550123', awaits_visit = true")
    match_orders(connection)
    assert _origins(connection) == []


def test_a_failure_from_before_the_erasure_is_retried_without_identity(connection: Connection, spool: Spool) -> None:
    shop = add_shop(connection)
    person_order(connection, shop)
    erased(connection, spool)
    order = add_order(connection, shop, phone=None)
    connection.execute(
        "insert into regulars.failures (order_id, shop_id, event, reason) values (%s, %s, %s, 'a deadlock')",
        [order, shop, checkout(shop, order).model_dump_json()],
    )
    assert retry_failures(connection) == 1
    assert traces(connection, spool) == []
    assert fetch(
        connection, "select count(distinct shop_customer_id), count(shop_customer_id) from regulars.tracking"
    ) == [(1, 2)]


def test_without_the_key_an_old_checkout_is_stored_until_the_key_is_set(
    connection: Connection, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = add_shop(connection)
    person_order(connection, shop)
    erased(connection, spool)
    old = add_order(connection, shop, phone=None)
    for wrong in ("", "another key, which is long enough too"):
        monkeypatch.setenv("REGULARS_ERASURE_KEY", wrong)
        assert track(connection, checkout(shop, old)).outcome == "failed"
    assert "REGULARS_ERASURE_KEY" in str(fetch(connection, "select reason from regulars.failures"))
    monkeypatch.setenv("REGULARS_ERASURE_KEY", KEY)
    assert retry_failures(connection) == 1
    assert traces(connection, spool) == []

    person_order(connection, shop)
    monkeypatch.setenv("REGULARS_ERASURE_KEY", "")
    with pytest.raises(SettingError, match="token_urlsafe"):
        match_orders(connection)
    with pytest.raises(SettingError, match="earlier erasures"):
        erased(connection, spool, key="another key, which is long enough too")


def test_a_purchase_after_the_erasure_makes_a_new_customer_whose_past_stays_erased(
    connection: Connection, spool: Spool
) -> None:
    shop = add_shop(connection)
    first = person_order(connection, shop)
    erased(connection, spool)
    ((gone,),) = fetch(connection, "select id from regulars.customers")
    new = person_order(connection, shop, at=datetime.now(UTC) + timedelta(seconds=1))
    tracked = track(connection, checkout(shop, new))
    assert (tracked.outcome, tracked.customer_id == gone) == ("new_customer", False)
    assert track(connection, checkout(shop, new, slug="promo")).outcome == "conflict"
    assert fetch(connection, "select email, customer_name from regulars.customers where phone_number = %s", E164) == [
        (EMAIL, NAME)
    ]
    # An order that checkout didn't match belongs to the new customer too.
    person_order(connection, shop, at=datetime.now(UTC) + timedelta(seconds=2))
    match_orders(connection)
    # An old order that arrives only now does not belong to the new customer.
    old = add_order(connection, shop, phone=None)
    assert track(connection, checkout(shop, old)).customer_id == gone
    person_order(connection, shop)
    match_orders(connection)
    counted = "select shop_customer_id, count(shop_order_id) from regulars.tracking group by 1 order by 2"
    assert fetch(connection, counted) == [
        (tracked.customer_id, 2), (gone, 3),
    ]  # fmt: skip
    assert track(connection, checkout(shop, first)).customer_id == gone

    # A second erasure has a proof of its own.
    again = erased(connection, spool)
    assert (again.was_erased, again.orders) == (False, 2)
    assert traces(connection, spool) == []
    assert fetch(connection, "select count(*) from regulars.erasures") == [(2,)]


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "20000-01-01", None])
def test_orders_with_any_time_and_connections_with_any_rows_are_served(
    connection: Connection, spool: Spool, moment: str | None
) -> None:
    shop = add_shop(connection)
    connection.execute("alter table shop_orders alter created_at drop not null, alter updated_at drop not null")
    person_order(connection, shop)
    odd = [person_order(connection, shop) for _ in range(2)]
    connection.execute("update shop_orders set created_at = %s, updated_at = %s", [moment, moment])
    track(connection, checkout(shop, odd[0]))
    assert report_person(connection, find_person(connection, shop="ama-data", phone=PHONE, spool=spool))["orders"]
    assert erased(connection, spool).orders == 3
    late = [person_order(connection, shop), add_order(connection, shop, phone=None)]
    connection.execute("update shop_orders set created_at = %s, updated_at = %s", [moment, moment])
    connection.row_factory = dict_row  # type: ignore[assignment]
    track(connection, checkout(shop, late[1]))
    connection.row_factory = tuple_row  # type: ignore[assignment]
    match_orders(connection)
    is_later = moment in ("infinity", "20000-01-01")
    assert fetch(connection, "select count(*), count(phone_number) from regulars.customers") == [
        (1 + is_later, is_later)
    ]
