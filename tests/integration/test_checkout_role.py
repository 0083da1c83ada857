"""Least privilege: a login that may only check out can do everything that a checkout needs, and read nothing."""

from pathlib import Path

import psycopg
import pytest

from ingest import Checkout, Tracker, Visit
from ingest.spool.file import SPOOL, Spool
from ingest.spool.replay import replay
from ingest.storage.connections import connect
from ingest.storage.migrations import require_schema
from ingest.storage.settings import Settings
from tests.conftest import Database
from tests.person import checkout, erased, person_order, traces
from tests.storefront import add_order, add_shop, fetch


@pytest.mark.usefixtures("erasure_key")
def test_a_login_that_may_only_check_out_tracks_replays_and_recognises_the_erased(
    migrated: Database, checkout_login: str, tmp_path: Path
) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        person_order(connection, shop)
        erased(connection, Spool(tmp_path / "elsewhere" / SPOOL))
        old, spooled, within, *many = (add_order(connection, shop, phone=None) for _ in range(7))
        connection.execute("update shop_orders set created_at = now() where id <> %s", [old])

        with Tracker(Settings(DATABASE_URL=checkout_login, home=tmp_path, track_budget_ms=5000)) as tracker:
            assert tracker.track(checkout(shop, old)).outcome == "returning_customer"
            visit = Visit(shop_id=shop, slug="promo")
            assert tracker.visit(visit).outcome == "noted"
            bought = [Checkout(shop_id=shop, order_id=order, phone="0201112222") for order in many]
            bought[0] = bought[0].model_copy(update={"visit_id": visit.visit_id})
            assert [answer.outcome for answer in tracker.track_many(bought)] == [
                "new_customer", "returning_customer", "returning_customer", "returning_customer",
            ]  # fmt: skip
            assert tracker.track(bought[0].model_copy(update={"phone": "0203334444"})).outcome == "conflict"
            assert [answer.outcome for answer in tracker.visit_many([Visit(shop_id=shop)])] == ["noted"]
            with connect(checkout_login) as storefront:
                event = Checkout(shop_id=shop, order_id=within, phone="12")
                assert tracker.track_within(storefront, event).outcome == "unreadable"
            assert tracker.spool.count() == 0
        tracker.spool.add("checkout", checkout(shop, spooled).model_dump_json())
        with connect(checkout_login) as connected:
            require_schema(connected)
            assert replay(connected, tracker.spool).written == 1

        assert fetch(connection, "select count(shop_order_id), count(shop_customer_id) from regulars.tracking") == [
            (8, 7)
        ]
        assert fetch(connection, "select count(*), count(shop_order_id) from regulars.tracking") == [(9, 8)]
        # The order that came after the erasure is the person's again, with its visit.
        connection.execute("delete from regulars.customers where phone_number is not null and email is not null")
        connection.execute("delete from regulars.tracking where shop_order_id = %s", [spooled])
        assert traces(connection, tracker.spool) == []


@pytest.mark.parametrize(
    "statement",
    [
        "select from shop_orders",
        "select from regulars.customers",
        "select from regulars.tracking",
        "insert into regulars.tracking (shop_id) select gen_random_uuid()",
        "select from user_shops",
        "select from regulars.failures",
        "select from regulars.conflicts",
        "select from regulars.erasures",
        "select from regulars.changes",
        "select regulars.claim_changes()",
        "select regulars.grant_roles()",
        "select from dashboard.customer_contacts",
    ],
)
def test_a_login_that_may_only_check_out_reads_nothing(checkout_login: str, statement: str) -> None:
    with connect(checkout_login) as connected, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connected.execute(statement)  # type: ignore[arg-type]
