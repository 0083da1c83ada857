"""Orders generated inside the database: any number of them, over the same shops and the same 24 months.

Row n of every table is computed from n alone, so the same numbers generate the same rows.
"""

from ingest.storage.connections import Connection

SHOPS = 200
_SLICE = 250_000  # orders written by one statement: triggers hold a statement's rows in memory until it ends

# `chance` looks random in [0, 1) and is always the same for the same text. A customer belongs to one shop. The shares
# of shops and customers fall with their rank, so that some have very many orders and most have few. The first
# `newcomers` orders are one of each customer, and the first `largest` customers belong to the first shop.
_SETUP = """
    create function pg_temp.chance(key text) returns double precision language sql immutable
    return (('x' || substr(md5(key), 1, 8))::bit(32)::bigint) / 4294967296.0;

    create function pg_temp.customer_of(order_number int, customers int) returns int language sql immutable
    return case
        when order_number <= {newcomers} then order_number
        else 1 + floor(customers * power(pg_temp.chance('by' || order_number), 1.5))::int
    end;

    create function pg_temp.shop_of(customer int) returns uuid language sql immutable
    return md5('shop' || case
        when customer <= {largest} then 1
        else 1 + floor({shops} * power(pg_temp.chance('of' || customer), 2))::int
    end)::uuid
"""

_SHOPS = """
    insert into public.user_shops (id, user_id, shop_name, shop_slug)
    select md5('shop' || n)::uuid, md5('owner' || n)::uuid, 'Shop ' || n, 'shop-' || n
    from generate_series(1, %(shops)s) as n
"""

_CUSTOMERS = """
    insert into regulars.customers (id, shop_id, phone_number, first_seen_at)
    select md5('customer' || n)::uuid, pg_temp.shop_of(n), '+233' || (200000000 + n), '2024-01-01'
    from generate_series(%(first)s::int, %(last)s::int) as n
"""

_ORDERS = """
    insert into public.shop_orders (
        id, shop_id, customer_name, customer_phone, network, volume_gb, base_price, profit_amount,
        total_price, order_status, payment_status, created_at
    )
    select
        md5('order' || n)::uuid,
        pg_temp.shop_of(customer),
        'Buyer',
        '+233' || (200000000 + customer),
        (array['MTN', 'Telecel', 'AT'])[1 + n %% 3],
        1 + n %% 10,
        4 + n %% 50,
        1,
        5 + n %% 50,
        case when n %% 50 = 0 then 'refunded' else 'completed' end,
        case when n %% 20 = 0 then 'failed' else 'completed' end,
        timestamptz '2024-01-01' + interval '730 days' * pg_temp.chance('at' || n)
    from generate_series(%(first)s::int, %(last)s::int) as n
    cross join lateral (select pg_temp.customer_of(n, %(customers)s) as customer offset 0) as buyer
"""

_TRACKING = """
    insert into regulars.tracking (id, shop_id, shop_order_id, shop_customer_id, accessed_via_slug, accessed_at)
    select
        md5('visit' || n)::uuid,
        pg_temp.shop_of(customer),
        md5('order' || n)::uuid,
        md5('customer' || customer)::uuid,
        case when n %% 5 > 0 then 'link-' || n %% 5 end,
        case when n %% 5 > 0 then timestamptz '2024-01-01' + interval '730 days' * pg_temp.chance('at' || n) end
    from generate_series(%(first)s::int, %(last)s::int) as n
    cross join lateral (select pg_temp.customer_of(n, %(customers)s) as customer offset 0) as buyer
"""

_PROFITS = """
    insert into public.shop_profits (id, shop_id, profit_amount, status, created_at)
    select md5('profit' || n)::uuid, md5('shop' || (1 + n %% %(shops)s))::uuid, 1, 'credited', '2025-06-01'
    from generate_series(%(first)s::int, %(last)s::int) as n
    where n %% 5 = 0
"""

_CORRECT = """
    update public.shop_orders
    set
        order_status = case when order_status = 'refunded' then 'completed' else 'refunded' end,
        total_price = total_price + 1,
        base_price = base_price + 1
    where id in (
        select md5('order' || (1 + floor(%(orders)s * pg_temp.chance(%(round)s || n))::int))::uuid
        from generate_series(1, %(number)s) as n
    )
"""


def customers_of(orders: int) -> int:
    return max(SHOPS, orders // 5)


def generate_orders(connection: Connection, orders: int, *, customers: int | None = None, largest: int = 0) -> None:
    """Fills a migrated database with `orders` orders, each matched as by checkout; four in five have a visit.

    With `customers` given, there are that many and each has an order; `largest` of them belong to one shop.
    """
    connection.execute(_SETUP.format(shops=SHOPS, newcomers=customers or 0, largest=largest))
    connection.execute(_SHOPS, {"shops": SHOPS})
    # The generated rows satisfy the foreign keys; checking them would take most of the time.
    connection.execute("set session_replication_role = replica")
    people = customers or customers_of(orders)
    _in_slices(connection, _CUSTOMERS, 1, people, people)
    for statement in (_ORDERS, _TRACKING, _PROFITS):
        _in_slices(connection, statement, 1, orders, people)
        connection.execute("truncate regulars.changes")
    connection.execute("set session_replication_role = origin")
    settle(connection)


def change(connection: Connection, *, orders: int, number: int, round: str) -> None:
    """Changes `number` orders: of ten, seven old ones are corrected or refunded, three are new.

    Some of the new ones are a customer's first. `orders` is how many were generated at first.
    """
    new = number * 3 // 10
    standing = connection.execute("select count(*) from public.shop_orders").fetchone()
    last = standing[0] if standing else 0
    connection.execute(_CORRECT, {"orders": orders, "number": number - new, "round": round})
    _in_slices(connection, _ORDERS, last + 1, last + new, customers_of(orders))
    _in_slices(connection, _TRACKING, last + 1, last + new, customers_of(orders))


def settle(connection: Connection) -> None:
    """Vacuums, as autovacuum would between two nights, so that no benchmark waits for it or races it."""
    connection.execute("vacuum (analyze)")
    connection.execute("checkpoint")


def _in_slices(connection: Connection, statement: str, first: int, last: int, customers: int) -> None:
    for start in range(first, last + 1, _SLICE):
        connection.execute(
            statement,
            {
                "first": start,
                "last": min(start + _SLICE - 1, last),
                "shops": SHOPS,
                "customers": customers,
            },
        )
