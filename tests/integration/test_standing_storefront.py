"""A storefront with a customer tracking of its own is migrated while its code runs, and both go on working."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from io import StringIO
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from rich.console import Console

from flows.steps import run_refresh
from ingest import Checkout, track
from ingest.bulk.import_file import ImportFile, OrderRow
from ingest.bulk.loading import load_orders
from ingest.bulk.matching import match_orders
from ingest.privacy.access import answer_access_request
from ingest.spool.file import Spool
from ingest.storage.connections import Connection
from ingest.storage.errors import DatabaseError, InputError
from ingest.storage.migrations import migrate, migrations, pending, require_schema
from ingest.storage.roles import grant_roles
from ingest.storage.storefront import survey
from regulars.cli import customer
from tests import standing
from tests.conftest import NAME, Database, Server
from tests.person import erased
from tests.standing import BULK, Order, checkout_as_before, count, spellings
from tests.storefront import fetch

USERS = {"superuser": "superuser", "owner": "nosuperuser", "owner who makes roles": "nosuperuser createrole"}


@contextmanager
def standing_storefront(server: Server, attributes: str = "nosuperuser") -> Iterator[Database]:
    """The storefront's database, as the user who owns and migrates it."""
    made = server.create(NAME)
    with standing.migrating_user(server, made.name, attributes) as user:
        where = make_conninfo(made.conninfo, user=user, password=user)
        database = Database(made.settings.model_copy(update={"database_url": where}), made.name, where)
        with database.connect() as connection:
            connection.execute(standing.SCHEMA)  # type: ignore[arg-type]
        yield database


@pytest.fixture
def storefront(server: Server, builds_models: None) -> Iterator[Database]:  # noqa: ARG001
    with standing_storefront(server) as database:
        yield database


def published(connection: Connection) -> dict[object, tuple[object, ...]]:
    return {
        shop: tuple(numbers)
        for shop, *numbers in fetch(
            connection,
            "select shop_id, total_orders, total_customers, repeat_customers, customer_revenue "
            "from analytics.shop_overview",
        )
    }


@pytest.mark.usefixtures("builds_models")
@pytest.mark.parametrize(("user", "size"), [("superuser", 2_000), ("owner", 20_000), ("owner who makes roles", 2_000)])
def test_every_sale_and_every_person_counts_once_whoever_migrates(server: Server, user: str, size: int) -> None:
    with standing_storefront(server, USERS[user]) as storefront, storefront.connect() as connection:
        orders = standing.fill(connection, orders=size)
        shops = list(count(orders))
        orders.append(checkout_as_before(connection, shops[0], "0241234567", slug="promo"))
        before = fetch(connection, "select * from shop_orders order by id")

        assert migrate(connection) == [migration.name for migration in migrations()]
        assert migrate(connection) == []
        grant_roles(connection)
        run_refresh(storefront.settings)
        assert published(connection) == count(orders)
        assert fetch(connection, "select * from shop_orders order by id") == before

        # The storefront sells on: to a customer it knows, to one that Regulars knows in another spelling, to a new one.
        for phone in ("0241234567", *spellings("240000001"), "0209998887"):
            orders.append(checkout_as_before(connection, shops[0], phone, slug="later"))
        assert fetch(connection, "select total_purchases from shop_customers where phone_number = '0241234567'") == [
            (2,)
        ]
        run_refresh(storefront.settings)
        assert published(connection) == count(orders)
        assert fetch(connection, "select sales from analytics.slug_analytics where slug = 'later'") == [(5,)]
        run_refresh(storefront.settings, mode="rebuild")
        assert published(connection) == count(orders)


def test_the_visits_of_the_earlier_tracking_are_copied(storefront: Database) -> None:
    with storefront.connect() as connection:
        orders = standing.fill(connection, orders=800)
        migrate(connection)
        run_refresh(storefront.settings)
        expected: dict[tuple[UUID, str], int] = {}
        for order in orders:
            if order.is_sale:
                key = (order.shop_id, order.slug or "unknown")
                expected[key] = expected.get(key, 0) + 1
        assert {slug for _, slug in expected} == {BULK, "promo", "march", "unknown"}
        assert {
            (shop, slug): sales
            for shop, slug, sales in fetch(
                connection, "select shop_id, slug, sales from analytics.slug_analytics where sales > 0"
            )
        } == expected
        # A tracked checkout stands, whatever the earlier tracking has about it.
        shop = orders[0].shop_id
        later = checkout_as_before(connection, shop, "0241112223", slug="theirs")
        track(connection, Checkout(shop_id=shop, order_id=later.order_id, phone=later.phone, slug="ours"))
        run_refresh(storefront.settings)
        assert fetch(connection, "select slug from analytics.orders where order_id = %s", later.order_id) == [("ours",)]


@pytest.mark.usefixtures("takes_long")
def test_a_migration_that_is_killed_at_any_step_says_what_to_do_and_is_finished_by_the_next(server: Server) -> None:
    names = [migration.name for migration in migrations()]
    for killed_at in names:
        with standing_storefront(server) as storefront:
            with storefront.connect() as connection, storefront.connect() as other:
                (orders := standing.fill(connection, orders=30))
                pid = connection.info.backend_pid

                def kill(name: str, pid: int = pid, at: str = killed_at, other: Connection = other) -> None:
                    if name == at:
                        other.execute("select pg_terminate_backend(%s)", [pid])

                with pytest.raises(psycopg.OperationalError):
                    migrate(connection, on_step=kill)
            with storefront.connect() as connection:
                with pytest.raises(DatabaseError, match="run `regulars migrate`"):
                    require_schema(connection)
                orders.append(checkout_as_before(connection, orders[0].shop_id, "0241234567", slug="promo"))
                assert migrate(connection) == names[names.index(killed_at) :]
                require_schema(connection)
                match_orders(connection, everything=True)
                ((matched,),) = fetch(
                    connection, "select count(*) from regulars.tracking where shop_customer_id is not null"
                )
                ((noted,),) = fetch(connection, "select count(*) from regulars.unreadable_phones")
                assert matched + noted == len(orders)  # type: ignore[operator]


@pytest.mark.usefixtures("counts_on_time")
def test_checkouts_go_on_without_an_error_or_a_long_wait_during_a_migration(storefront: Database) -> None:
    with storefront.connect() as connection:
        orders = standing.fill(connection, orders=5_000)
        shop = orders[0].shop_id
        waits: list[float] = []
        made: list[Order] = []
        is_over = threading.Event()

        def sell() -> None:
            with storefront.connect() as till:
                while not is_over.is_set():
                    began = time.monotonic()
                    made.append(checkout_as_before(till, shop, f"024{len(made):07d}", slug="promo"))
                    waits.append(time.monotonic() - began)

        till = threading.Thread(target=sell)
        till.start()
        try:
            while len(made) < 20:
                time.sleep(0.01)
            migrate(connection)
            sold = len(made)
            while len(made) < sold + 20:
                time.sleep(0.01)
        finally:
            is_over.set()
            till.join()
        assert max(waits) < 2
        run_refresh(storefront.settings)
        assert published(connection) == count(orders + made)


def test_a_dry_run_says_what_was_found_and_changes_nothing(storefront: Database) -> None:
    with storefront.connect() as connection:
        standing.fill(connection, orders=30)
        assert pending(connection) == [migration.name for migration in migrations()]
        found = survey(connection)
        assert [table.name for table in found.earlier] == ["shop_customers", "customer_tracking"]
        assert all(table.has_naive_times for table in found.standing)
        assert found.missing == []
        assert fetch(connection, "select to_regnamespace('regulars') is null") == [(True,)]


def test_no_new_relation_is_open_to_the_roles_of_a_public_api(storefront: Database) -> None:
    with storefront.connect() as connection:
        # The worst case: default privileges grant all, in every schema.
        connection.execute("alter default privileges grant all on tables to anon, authenticated")
        standing.fill(connection, orders=30)
        before = _granted(connection)
        migrate(connection)
        grant_roles(connection)
        run_refresh(storefront.settings)
        assert _granted(connection) == before


def _granted(connection: Connection) -> list[tuple[object, ...]]:
    return fetch(
        connection,
        """
        select c.oid::regclass::text, r.rolname, a.privilege_type
        from pg_class as c
        cross join aclexplode(c.relacl) as a
        inner join pg_roles as r on a.grantee = r.oid
        where
            r.rolname in ('anon', 'authenticated')
            and c.relnamespace::regnamespace::text in ('public', 'regulars', 'analytics', 'dashboard', 'staging')
        order by 1, 2, 3
        """,
    )


@pytest.mark.usefixtures("erasure_key")
def test_a_person_is_erased_even_if_phone_and_email_are_not_null(storefront: Database, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite")
    with storefront.connect() as connection:
        standing.fill(connection, orders=30)
        ((shop,),) = fetch(connection, "select id from user_shops where shop_slug = 'shop-0'")
        assert isinstance(shop, UUID)
        bought = [checkout_as_before(connection, shop, phone, slug="promo") for phone in spellings("241234567")]
        connection.execute(
            "update customer_tracking set referrer = 'https://wa.me/233241234567', utm_campaign = 'for 0241234567' "
            "where shop_order_id = any(%s)",
            [[order.order_id for order in bought]],
        )
        migrate(connection)
        run_refresh(storefront.settings)
        numbers = published(connection)
        done = erased(connection, spool, shop="shop-0", phone="024 123 4567")
        assert (done.was_erased, done.orders) == (False, 3)
        # An old order of theirs that arrives later, and one that the storefront writes back.
        connection.execute("update shop_orders set customer_phone = '0241234567' where id = %s", [bought[0].order_id])
        late = checkout_as_before(connection, shop, "0241234567", slug="promo")
        connection.execute("update shop_orders set created_at = '2026-01-01' where id = %s", [late.order_id])
        checkout = Checkout(shop_id=shop, order_id=late.order_id, phone="0241234567", email="a@example.com")
        assert track(connection, checkout).outcome == "returning_customer"
        connection.execute("delete from shop_customers where phone_number = '0241234567'")
        run_refresh(storefront.settings)
        assert _mentions(connection, "241234567") == []
        sales, *rest = numbers[shop]
        assert published(connection)[shop] == (sales + 1, *rest[:2], rest[2] + Decimal(10))  # type: ignore[operator]


@pytest.mark.usefixtures("erasure_key")
def test_an_access_request_shows_all_that_an_erasure_removes(server: Server, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite")
    with standing_storefront(server) as storefront, storefront.connect() as connection:
        standing.fill(connection, orders=30)
        ((shop,),) = fetch(connection, "select id from user_shops where shop_slug = 'shop-0'")
        assert isinstance(shop, UUID)
        bought = [checkout_as_before(connection, shop, phone, slug="promo") for phone in spellings("241234567")]
        connection.execute("update customer_tracking set utm_campaign = 'first of ' || shop_order_id")
        # Only the first visit of an order is taken over.
        connection.execute(
            "insert into customer_tracking (shop_order_id, shop_customer_id, shop_id, accessed_at, referrer) "
            "select shop_order_id, shop_customer_id, shop_id, accessed_at + interval '1 day', 'second of ' || id "
            "from customer_tracking"
        )
        migrate(connection)
        connection.execute("select regulars.take_over_earlier_visits()")
        match_orders(connection)
        late, gone = (checkout_as_before(connection, shop, "0241234567", slug="promo") for _ in range(2))
        for order in (late, gone):
            event = Checkout(
                shop_id=shop, order_id=order.order_id, phone="0241234567", email=f"{order.order_id}@example.com",
                referrer=f"https://wa.me/{order.order_id}", utm_source="for Ama",
            )  # fmt: skip
            track(connection, event)
            assert track(connection, event.model_copy(update={"slug": "another"})).outcome == "conflict"
        connection.execute("delete from shop_orders where id = %s", [gone.order_id])

        before = _texts(connection)
        held = answer_access_request(connection, shop="shop-0", phone="024 123 4567", key=None, spool=spool)
        printed = StringIO()
        customer._print(Console(file=printed, highlight=False), held)
        assert erased(connection, spool, shop="shop-0", phone="024 123 4567").orders == len(bought) + 1
        removed = {text for _, text in before - _texts(connection)}
        for told in (json.dumps(held, default=str), printed.getvalue()):
            assert {text for text in removed if text not in told} == set()
        assert {"0241234567", "for Ama", f"https://wa.me/{gone.order_id}"} <= removed
        assert len([text for text in removed if text.startswith("second of ")]) == len(bought)


def _texts(connection: Connection) -> Counter[tuple[object, str]]:
    """How often each table holds each text, also within a document."""
    found: Counter[tuple[object, str]] = Counter()
    for (table,) in fetch(
        connection,
        "select oid::regclass::text from pg_class where relkind = 'r' "
        "and relnamespace::regnamespace::text in ('public', 'regulars')",
    ):
        for (row,) in fetch(connection, f"select to_jsonb(t) from {table} as t"):
            facts = dict(row)  # type: ignore[call-overload]
            facts |= facts.pop("event", {})
            found.update((table, value) for name, value in facts.items() if isinstance(value, str) and name in _FREE)
    return found


# The columns, and the fields of an event, that may say anything about a person.
_FREE = {
    "phone", "phone_number", "email", "customer_name", "customer_phone", "customer_email", "referrer", "utm_source",
    "utm_medium", "utm_campaign",
}  # fmt: skip


def _mentions(connection: Connection, digits: str) -> list[tuple[object, ...]]:
    """The columns that hold these digits, in all tables of the database."""
    tables = fetch(
        connection,
        "select oid::regclass::text from pg_class where relkind in ('r', 'm') "
        "and relnamespace::regnamespace::text in ('public', 'regulars', 'analytics')",
    )
    return [
        table
        for table in tables
        if fetch(connection, f"select 1 from {table[0]} as t where t::text like %s limit 1", f"%{digits}%")
    ]


def test_a_load_names_a_required_column_that_the_file_lacks_before_it_writes(
    storefront: Database, tmp_path: Path
) -> None:
    with storefront.connect() as connection:
        standing.fill(connection, orders=30)
        migrate(connection)
        export = tmp_path / "orders.csv"
        export.write_text(
            "id,shop_slug,customer_name,customer_email,customer_phone,network,volume_gb,base_price,profit_amount,"
            "total_price,order_status,payment_status,reference_code,created_at,accessed_via_slug\n"
            "7c9e6679-7425-40de-944b-e07fc1f90ae7,shop-0,,,0241234567,MTN,1,9,1,10,completed,completed,,2026-03-01,\n"
        )
        with pytest.raises(InputError, match=r"shop_package_id.*set default"):
            load_orders(connection, ImportFile(export, OrderRow))
        assert fetch(connection, "select count(*) from shop_orders") == [(30,)]
        connection.execute("alter table shop_orders alter column shop_package_id set default gen_random_uuid()")
        assert load_orders(connection, ImportFile(export, OrderRow)).written == 1
        assert load_orders(connection, ImportFile(export, OrderRow)).written == 0


@pytest.mark.usefixtures("erasure_key")
def test_deleting_a_user_deletes_shop_orders_and_links_and_leaves_the_proofs_of_erasure(
    storefront: Database, tmp_path: Path
) -> None:
    with storefront.connect() as connection:
        standing.fill(connection, orders=300)
        ((shop, user),) = fetch(connection, "select id, user_id from user_shops where shop_slug = 'shop-0'")
        assert isinstance(shop, UUID)
        checkout_as_before(connection, shop, "0241234567", slug="promo")
        migrate(connection)
        connection.execute("insert into shop_slugs (shop_id, slug) values (%s, 'their-link')", [shop])
        run_refresh(storefront.settings)
        erased(connection, Spool(tmp_path / "spool.sqlite"), shop="shop-0", phone="0241234567")
        proofs = fetch(connection, "select * from regulars.erasures")

        connection.execute("delete from auth.users where id = %s", [user])

        for table in ("shop_orders", "shop_slugs", "regulars.customers", "regulars.tracking", "shop_customers"):
            assert fetch(connection, f"select count(*) from {table} where shop_id = %s", shop) == [(0,)], table
        assert fetch(connection, "select * from regulars.erasures") == proofs
        run_refresh(storefront.settings)
        assert shop not in published(connection)

        # The shop comes back from a backup with an old order of the erased person: it is recognised and cleared.
        connection.execute("insert into auth.users (id) values (%s)", [user])
        connection.execute(
            "insert into user_shops (id, user_id, shop_name, shop_slug) values (%s, %s, 'Shop 0', 'shop-0')",
            [shop, user],
        )
        old = checkout_as_before(connection, shop, "0241234567", slug="promo")
        connection.execute("update shop_orders set created_at = '2026-01-01' where id = %s", [old.order_id])
        run_refresh(storefront.settings)
        assert fetch(connection, "select id, phone_number from regulars.customers where shop_id = %s", shop) == [
            (proofs[0][1], None)
        ]
        assert fetch(connection, "select customer_phone from shop_orders where id = %s", old.order_id) == [("",)]
