"""Migrations: applied in order, once, and atomically, beside a storefront that exists already."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from flows.steps import run_refresh
from ingest.bulk.matching import match_orders
from ingest.storage.connections import connect, conninfo
from ingest.storage.errors import DatabaseError, MigrationError
from ingest.storage.migrations import migrate, migrations
from tests.conftest import NAME, Database, Server
from tests.storefront import fetch

# The tables of a live storefront: naive timestamps, text of a limited length, no country, time zone or currency, a
# column of its own, and rows.
_STOREFRONT = """
    create table user_shops (
        id uuid primary key, user_id uuid not null, shop_name varchar(80) not null, shop_slug varchar(80) unique,
        is_active boolean default true, created_at timestamp default now(), updated_at timestamp default now()
    );
    create table shop_orders (
        id uuid primary key, shop_id uuid not null references user_shops (id), customer_name varchar(80),
        customer_email varchar(80), customer_phone varchar(30), network varchar(20), volume_gb double precision,
        base_price numeric(10, 2), profit_amount numeric(10, 2), total_price numeric(10, 2),
        order_status varchar(20), payment_status varchar(20), reference_code varchar(30) unique,
        created_at timestamp default now(), updated_at timestamp default now()
    );
    create table shop_profits (
        id uuid primary key, shop_id uuid not null, shop_order_id uuid, profit_amount numeric(10, 2),
        status varchar(20), credited_at timestamp, created_at timestamp default now()
    );
    create table withdrawal_requests (
        id uuid primary key, shop_id uuid not null, user_id uuid, amount numeric(10, 2), status varchar(20),
        created_at timestamp default now()
    );
    insert into user_shops (id, user_id, shop_name, shop_slug)
    values ('11111111-1111-1111-1111-111111111111', gen_random_uuid(), 'Ama Data', 'ama-data');
    insert into shop_orders (
        id, shop_id, customer_phone, network, volume_gb, base_price, profit_amount, total_price, order_status,
        payment_status, reference_code, created_at
    )
    values
    (
        '22222222-2222-2222-2222-222222222222', '11111111-1111-1111-1111-111111111111', '024 123 4567', 'MTN', 5,
        9, 1, 10, 'completed', 'completed', 'R1', '2026-01-31 23:30:00'
    ),
    (
        '33333333-3333-3333-3333-333333333333', '11111111-1111-1111-1111-111111111111', '+233241234567', 'MTN', 5,
        18, 2, 20, 'completed', 'completed', 'R2', '2026-02-01 00:30:00'
    );
"""


def test_they_are_applied_in_order_and_once(empty: Database) -> None:
    with empty.connect() as connection:
        assert migrate(connection) == [m.name for m in migrations()]
        assert migrate(connection) == []
        assert fetch(connection, "select number, checksum from regulars.migrations order by number") == [
            (m.number, m.checksum) for m in migrations()
        ]


def test_two_processes_at_once_apply_each_once(empty: Database) -> None:
    def run(_: int) -> list[str]:
        with empty.connect() as connection:
            return migrate(connection)

    with ThreadPoolExecutor(max_workers=4) as threads:
        applied = [name for names in threads.map(run, range(4)) for name in names]
    assert sorted(applied) == [m.name for m in migrations()]


def test_one_that_fails_leaves_nothing_behind_and_says_so(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0001_good.sql").write_text("create table good (id int)")
    (tmp_path / "0002_bad.sql").write_text("create table half (id int); insert into half values ('x');")
    with empty.connect() as connection:
        with pytest.raises(MigrationError, match=r"Migration 0002 \(bad\) failed and left nothing behind"):
            migrate(connection, folder=tmp_path)
        assert fetch(connection, "select to_regclass('good') is not null, to_regclass('half') is null") == [
            (True, True)
        ]
        (tmp_path / "0002_bad.sql").write_text("create table half (id int)")
        assert migrate(connection, folder=tmp_path) == ["0002_bad"]


def test_one_that_was_changed_after_it_was_applied_is_refused(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0001_good.sql").write_text("create table good (id int)")
    with empty.connect() as connection:
        migrate(connection, folder=tmp_path)
        (tmp_path / "0001_good.sql").write_text("create table good (id bigint)")
        with pytest.raises(MigrationError, match="changed after it was applied"):
            migrate(connection, folder=tmp_path)


def test_a_database_of_a_later_release_is_refused(migrated: Database) -> None:
    with migrated.connect() as connection:
        connection.execute("insert into regulars.migrations values (9999, '9999_later', 'x')")
        with pytest.raises(MigrationError, match="upgrade Regulars"):
            migrate(connection)


def test_a_schema_of_that_name_that_is_not_ours_is_refused(empty: Database) -> None:
    with empty.connect() as connection:
        connection.execute("create schema regulars")
        with pytest.raises(MigrationError, match="not ours"):
            migrate(connection)


def test_a_database_in_another_encoding_is_refused(server: Server) -> None:
    latin = conninfo(server.settings, database=f"{NAME}_latin")
    with server.admin() as admin:
        admin.execute(f"drop database if exists {NAME}_latin")  # type: ignore[arg-type]
        admin.execute(
            f"create database {NAME}_latin encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0"  # type: ignore[arg-type]
        )
        with pytest.raises(DatabaseError, match="_latin has the encoding LATIN1, and names need UTF8"):
            connect(latin)
        admin.execute(f"drop database {NAME}_latin")  # type: ignore[arg-type]


def test_tables_with_other_keys_are_refused_untouched(empty: Database) -> None:
    with empty.connect() as connection:
        connection.execute("create table shop_orders (id bigint primary key, shop_id bigint)")
        with pytest.raises(MigrationError, match=r"needs uuid keys, but shop_orders\.id is bigint"):
            migrate(connection)
        assert fetch(connection, "select to_regclass('user_shops') is null") == [(True,)]


@pytest.mark.usefixtures("takes_long")
def test_a_migration_does_not_queue_for_a_busy_table(empty: Database) -> None:
    with empty.connect() as connection, empty.connect() as shopper:
        connection.execute(_STOREFRONT)  # type: ignore[arg-type]
        shopper.execute("begin")
        shopper.execute("lock table shop_orders in access exclusive mode")
        with pytest.raises(MigrationError, match="Run it again"):
            migrate(connection, patience=2)
        shopper.execute("rollback")
        migrate(connection)


@pytest.mark.usefixtures("builds_models")
def test_an_existing_storefront_keeps_its_tables_and_gets_its_numbers(empty: Database) -> None:
    with empty.connect() as connection:
        connection.execute(_STOREFRONT)  # type: ignore[arg-type]
        before = _shape(connection)
        rows = fetch(connection, "select * from shop_orders order by id")
        migrate(connection)

        after = _shape(connection)
        assert before.items() <= after.items()
        added = {column for table, column in after.keys() - before.keys() if table in ("user_shops", "shop_orders")}
        assert added == {"country", "currency", "timezone"}
        assert fetch(connection, "select * from shop_orders order by id") == rows
        assert fetch(connection, "select country, timezone, currency from user_shops") == [
            ("GH", "Africa/Accra", "GHS")
        ]
        # The storefront protects its own rows: only tables that we created get row-level security.
        protected = fetch(connection, "select oid::regclass::text from pg_class where relrowsecurity")
        assert {name for (name,) in protected}.isdisjoint(table for table, _ in before)

        matched = match_orders(connection, everything=True)
        assert (matched.matched, matched.unreadable) == (2, 0)
        run_refresh(empty.settings)
        # Naive timestamps are UTC, and so is Accra: the two orders fall into two months.
        assert fetch(
            connection, "select month::text, new_customers, returning_customers, net_amount::int "
            "from analytics.monthly_acquisition order by month"
        ) == [("2026-01-01", 1, 0, 10), ("2026-02-01", 0, 1, 20)]  # fmt: skip


def test_an_order_cannot_point_at_another_shops_customer(migrated: Database) -> None:
    with migrated.connect() as connection:
        connection.execute(
            "insert into user_shops (id, shop_slug) values "
            "('11111111-1111-1111-1111-111111111111', 'a'), ('44444444-4444-4444-4444-444444444444', 'b')"
        )
        connection.execute(
            "insert into regulars.customers (id, shop_id, phone_number) values "
            "('55555555-5555-5555-5555-555555555555', '44444444-4444-4444-4444-444444444444', '+233241234567')"
        )
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(
                "insert into regulars.tracking (shop_id, shop_customer_id) values "
                "('11111111-1111-1111-1111-111111111111', '55555555-5555-5555-5555-555555555555')"
            )


def _shape(
    connection: psycopg.Connection[tuple[object, ...]],
) -> dict[tuple[object, object], tuple[object, ...]]:
    return {
        (table, column): (kind, nullable, default)
        for table, column, kind, nullable, default in fetch(
            connection,
            "select table_name, column_name, data_type, is_nullable, column_default "
            "from information_schema.columns where table_schema = 'public'",
        )
    }
