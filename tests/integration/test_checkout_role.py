"""Least privilege: a login that may only check out does all that a checkout does, and reads nothing."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingest import Checkout, Tracker, Visit
from ingest.database import connect, require_schema
from ingest.replay import replay
from ingest.settings import Settings
from ingest.spool import SPOOL, Spool
from tests.conftest import Database
from tests.person import KEY, checkout, erased, person_order, traces
from tests.storefront import add_order, add_shop, fetch


@pytest.fixture
def login(migrated: Database) -> Iterator[str]:
    """The connection string of a member of regulars_checkout that is nothing else."""
    name = f"regulars_test_{uuid4().hex[:12]}"
    with migrated.connect() as admin:
        admin.execute(
            sql.SQL("create role {} login password {} in role regulars_checkout").format(
                sql.Identifier(name), sql.Literal(name)
            )
        )
        try:
            yield make_conninfo(migrated.conninfo, user=name, password=name)
        finally:
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_a_login_that_may_only_check_out_tracks_visits_and_replays_and_knows_the_erased(
    migrated: Database, login: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGULARS_ERASURE_KEY", KEY)
    with migrated.connect() as connection:
        shop = add_shop(connection)
        person_order(connection, shop)
        erased(connection, Spool(tmp_path / "elsewhere" / SPOOL))
        old, spooled, within, *many = (add_order(connection, shop, phone=None) for _ in range(7))
        connection.execute("update shop_orders set created_at = now() where id <> %s", [old])

        with Tracker(Settings(DATABASE_URL=login, home=tmp_path, track_budget_ms=5000)) as tracker:
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
            with connect(login) as storefront:
                event = Checkout(shop_id=shop, order_id=within, phone="12")
                assert tracker.track_within(storefront, event).outcome == "unreadable"
            assert tracker.spool.count() == 0
        tracker.spool.add("checkout", checkout(shop, spooled).model_dump_json())
        with connect(login) as connected:
            require_schema(connected)
            assert replay(connected, tracker.spool).written == 1

        assert fetch(connection, "select count(*), count(shop_customer_id) from shop_orders") == [(8, 7)]
        assert fetch(connection, "select count(*), count(shop_order_id) from customer_tracking") == [(8, 7)]
        connection.execute("delete from shop_customers where phone_number is not null and email is not null")
        assert traces(connection, tracker.spool) == []


@pytest.mark.parametrize(
    "statement",
    [
        "select from shop_orders",
        "select from shop_customers",
        "select from customer_tracking",
        "insert into customer_tracking (shop_id) select gen_random_uuid()",
        "select from user_shops",
        "select from regulars.failures",
        "select from regulars.conflicts",
        "select from regulars.erasures",
        "select from regulars.changes",
        "select regulars.claim_changes()",
        "select regulars.raise_wall()",
        "select from dashboard.customer_contacts",
    ],
)
def test_a_login_that_may_only_check_out_reads_nothing(login: str, statement: str) -> None:
    with connect(login) as connected, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connected.execute(statement)  # type: ignore[arg-type]
