"""A live storefront with a customer tracking of its own: its schema, roles, rows and statements."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import phonenumbers
from psycopg import sql

from ingest.storage.connections import Connection
from tests.conftest import Server

# As on a hosted PostgreSQL: an `auth` schema, the roles of its API, and default privileges that grant all.
ROLES = """
    do $$
    begin
        if not exists (select from pg_roles where rolname = 'anon') then
            create role anon nologin;
        end if;
        if not exists (select from pg_roles where rolname = 'authenticated') then
            create role authenticated nologin;
        end if;
        if not exists (select from pg_roles where rolname = 'service_role') then
            create role service_role nologin bypassrls;
        end if;
    end
    $$
"""

SCHEMA = """
    create schema auth;
    create table auth.users (id uuid primary key, email varchar(255));
    create function auth.uid() returns uuid language sql stable
    as $$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;

    create table user_shops (
        id uuid primary key default gen_random_uuid(),
        user_id uuid not null references auth.users on delete cascade,
        shop_name varchar(255) not null, shop_slug varchar(255) not null unique,
        is_active boolean default true, created_at timestamp default now(), updated_at timestamp default now()
    );
    create table shop_customers (
        id uuid primary key default gen_random_uuid(),
        shop_id uuid not null references user_shops on delete cascade,
        phone_number varchar(20) not null, email varchar(255), customer_name varchar(255),
        first_purchase_at timestamp not null default now(), last_purchase_at timestamp not null default now(),
        total_purchases integer default 1, total_spent decimal(12, 2) default 0, repeat_customer boolean default false,
        first_source_slug varchar(255), preferred_network varchar(50), created_at timestamp default now(),
        updated_at timestamp default now(), unique (shop_id, phone_number)
    );
    create table shop_orders (
        id uuid primary key default gen_random_uuid(),
        shop_id uuid not null references user_shops on delete cascade,
        customer_name varchar(255), customer_email varchar(255) not null, customer_phone varchar(20) not null,
        shop_package_id uuid not null, network varchar(50) not null, volume_gb decimal(10, 2),
        base_price decimal(10, 2), profit_amount decimal(10, 2), total_price decimal(10, 2) not null,
        order_status varchar(50) default 'pending', payment_status varchar(50) default 'pending',
        reference_code varchar(50) unique, shop_customer_id uuid references shop_customers on delete set null,
        created_at timestamp default now(), updated_at timestamp default now()
    );
    create table customer_tracking (
        id uuid primary key default gen_random_uuid(),
        shop_order_id uuid not null references shop_orders on delete cascade,
        shop_customer_id uuid not null references shop_customers on delete cascade,
        shop_id uuid not null references user_shops on delete cascade,
        accessed_via_slug varchar(255), accessed_at timestamp default now(), purchase_completed boolean default false,
        referrer text, utm_source varchar(255), utm_medium varchar(255), utm_campaign varchar(255),
        created_at timestamp default now()
    );
    create table shop_profits (
        id uuid primary key default gen_random_uuid(), shop_id uuid not null references user_shops on delete cascade,
        shop_order_id uuid references shop_orders on delete cascade, profit_amount decimal(10, 2) not null,
        status varchar(20) default 'pending', credited_at timestamp, created_at timestamp default now()
    );
    create table withdrawal_requests (
        id uuid primary key default gen_random_uuid(), shop_id uuid not null references user_shops on delete cascade,
        user_id uuid references auth.users on delete cascade, amount decimal(10, 2) not null,
        status varchar(20) default 'pending', created_at timestamp default now()
    );
    alter table user_shops enable row level security;
    alter table shop_customers enable row level security;
    alter table shop_orders enable row level security;
    alter table customer_tracking enable row level security;
    create policy owner on user_shops using (user_id = auth.uid());
    create policy owner on shop_customers
    using (exists (select 1 from user_shops where user_shops.id = shop_id and user_shops.user_id = auth.uid()));
    create policy owner on shop_orders
    using (exists (select 1 from user_shops where user_shops.id = shop_id and user_shops.user_id = auth.uid()));
    create policy owner on customer_tracking
    using (exists (select 1 from user_shops where user_shops.id = shop_id and user_shops.user_id = auth.uid()));
    grant usage on schema public, auth to anon, authenticated, service_role;
    grant all on all tables in schema public to anon, authenticated, service_role;
    alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
"""

_START = datetime(2026, 1, 5, 8)
_SALE = {"pending", "processing", "completed"}
BULK = "bulk_order"


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the storefront's code wrote it; `customer_id` is a row of its own tracking."""

    order_id: UUID
    shop_id: UUID
    phone: str
    total: Decimal
    is_sale: bool
    customer_id: UUID | None
    slug: str | None


@contextmanager
def migrating_user(server: Server, database: str, attributes: str) -> Iterator[str]:
    """A login that owns the database and may do no more than `attributes`."""
    # Always the same, because dbt parses the project again when the user's name changes.
    name = f"{database}_owner"
    role, where = sql.Identifier(name), sql.Identifier(database)
    with server.admin() as admin:
        admin.execute(ROLES)
        # A run that was killed may have left it.
        admin.execute(sql.SQL("drop role if exists {}").format(role))
        admin.execute(
            sql.SQL("create role {} login password {} " + attributes).format(role, sql.Literal(name))  # type: ignore[arg-type]
        )
        admin.execute(sql.SQL("grant anon, authenticated, service_role to {}").format(role))
        admin.execute(sql.SQL("alter database {} owner to {}").format(where, role))
    try:
        yield name
    finally:
        with server.admin() as admin:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(where))
            for granted in ("regulars_checkout", "regulars_owner", "regulars_analyst"):
                if admin.execute("select 1 from pg_roles where rolname = %s", [granted]).fetchone():
                    admin.execute(sql.SQL("revoke {} from {}").format(sql.Identifier(granted), role))
            admin.execute(sql.SQL("drop owned by {}").format(role))
            admin.execute(sql.SQL("drop role {}").format(role))


def spellings(national: str) -> list[str]:
    """The spellings of one Ghanaian number in the storefront's tables."""
    return [f"0{national}", f"233{national}", f"+233{national}"]


def fill(connection: Connection, *, orders: int, seed: int = 7) -> list[Order]:
    """Three shops and their orders, with rows of the storefront's own tracking: some people two or three times, some
    with an unreadable phone, some bulk orders under the recipient's name, some orders with two tracking rows."""
    chance = random.Random(seed)
    users = [uuid4() for _ in range(3)]
    shops = [uuid4() for _ in range(3)]
    connection.cursor().executemany("insert into auth.users (id) values (%s)", [[user] for user in users])
    connection.cursor().executemany(
        "insert into user_shops (id, user_id, shop_name, shop_slug) values (%s, %s, %s, %s)",
        [[shop, user, f"Shop {n}", f"shop-{n}"] for n, (shop, user) in enumerate(zip(shops, users, strict=True))],
    )
    people = [f"24{number:07d}" for number in range(orders // 5)]
    customers: dict[tuple[UUID, str], UUID] = {}
    made: list[Order] = []
    rows: list[tuple[object, ...]] = []
    tracked: list[tuple[object, ...]] = []
    for number in range(orders):
        shop = chance.choice(shops)
        is_bulk = chance.random() < 0.05
        phone = "not a phone" if chance.random() < 0.01 else chance.choice(spellings(chance.choice(people)))
        total = Decimal(chance.randrange(100, 9000)) / 100
        order_status = chance.choice(["completed", "completed", "completed", "pending", "failed", "refunded"])
        payment_status = chance.choice(["completed", "completed", "completed", "pending"])
        at = _START + timedelta(minutes=13 * number)
        customer = customers.setdefault((shop, phone), uuid4()) if chance.random() < 0.9 else None
        slug = BULK if is_bulk else chance.choice(["promo", "march", None])
        order = Order(
            uuid4(), shop, phone, total, payment_status == "completed" and order_status in _SALE, customer,
            slug if customer else None,
        )  # fmt: skip
        made.append(order)
        name = "MTN 5GB" if is_bulk else "Ama"
        rows.append(
            (order.order_id, shop, name, "a@example.com", phone, uuid4(), "MTN", total, order_status, payment_status,
             customer, at, at)
        )  # fmt: skip
        for copy in range(0 if customer is None else 2 if chance.random() < 0.05 else 1):
            tracked.append(
                (order.order_id, customer, shop, slug if copy == 0 else "second", at + timedelta(minutes=copy), at)
            )
    with connection.cursor() as cursor:
        with cursor.copy("copy shop_customers (id, shop_id, phone_number, customer_name) from stdin") as copying:
            for (shop, phone), customer in customers.items():
                copying.write_row((customer, shop, phone, "MTN 5GB"))
        with cursor.copy(
            "copy shop_orders (id, shop_id, customer_name, customer_email, customer_phone, shop_package_id, network, "
            "total_price, order_status, payment_status, shop_customer_id, created_at, updated_at) from stdin"
        ) as copying:
            for row in rows:
                copying.write_row(row)
        with cursor.copy(
            "copy customer_tracking (shop_order_id, shop_customer_id, shop_id, accessed_via_slug, accessed_at, "
            "created_at) from stdin"
        ) as copying:
            for row in tracked:
                copying.write_row(row)
    return made


def checkout_as_before(connection: Connection, shop: UUID, phone: str, *, slug: str, total: str = "10.00") -> Order:
    """One checkout of the storefront's own code: its statements, under its role."""
    order = uuid4()
    with connection.transaction():
        connection.execute("set local role service_role")
        connection.execute(
            "insert into shop_orders (id, shop_id, customer_name, customer_email, customer_phone, shop_package_id, "
            "network, total_price, order_status, payment_status) "
            "values (%s, %s, 'Ama', 'a@example.com', %s, gen_random_uuid(), 'MTN', %s, 'completed', 'completed')",
            [order, shop, phone, total],
        )
        standing = connection.execute(
            "select id from shop_customers where shop_id = %s and phone_number = %s", [shop, phone]
        ).fetchone()
        if standing is None:
            standing = connection.execute(
                "insert into shop_customers (shop_id, phone_number, customer_name, total_purchases, total_spent, "
                "first_source_slug) values (%s, %s, 'Ama', 1, %s, %s) returning id",
                [shop, phone, total, slug],
            ).fetchone()
        else:
            connection.execute(
                "update shop_customers set total_purchases = total_purchases + 1, total_spent = total_spent + %s, "
                "repeat_customer = true, last_purchase_at = now(), updated_at = now() where id = %s",
                [total, standing[0]],
            )
        assert standing is not None
        counters = connection.execute(
            "select total_purchases, repeat_customer, last_purchase_at, preferred_network "
            "from shop_customers where id = %s",
            [standing[0]],
        ).fetchone()
        assert counters is not None
        connection.execute("update shop_orders set shop_customer_id = %s where id = %s", [standing[0], order])
        connection.execute(
            "insert into customer_tracking (shop_order_id, shop_customer_id, shop_id, accessed_via_slug, "
            "purchase_completed) values (%s, %s, %s, %s, true)",
            [order, standing[0], shop, slug],
        )
    return Order(order, shop, phone, Decimal(total), True, standing[0], slug)


def count(orders: list[Order]) -> dict[UUID, tuple[int, int, int, Decimal]]:
    """For each shop: its sales, its customers, those with two purchases, and what these spent. Counted here from the
    orders alone, with phonenumbers."""
    bought: dict[tuple[UUID, str], int] = defaultdict(int)
    sales: dict[UUID, int] = defaultdict(int)
    spent: dict[UUID, Decimal] = defaultdict(Decimal)
    for order in orders:
        if not order.is_sale:
            continue
        sales[order.shop_id] += 1
        try:
            number = phonenumbers.parse(order.phone, "GH")
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            bought[order.shop_id, e164] += 1
            spent[order.shop_id] += order.total
    return {
        shop: (
            sales[shop],
            sum(of == shop for of, _ in bought),
            sum(of == shop and purchases > 1 for (of, _), purchases in bought.items()),
            spent[shop],
        )
        for shop in sales
    }
