"""Linking in bulk what checkout did not: orders without a customer, and orders whose phone has changed."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import namedtuple_row

from ingest.checkout import clean_text
from ingest.database import Connection
from ingest.phone import read_phone

_FIRST = UUID(int=0)

# Orders noted as unreadable are left out until their phone or their shop's country changes: triggers see to it.
_CANDIDATES = """
    with
    candidates as (
        (
            select orders.id
            from public.shop_orders as orders
            left join regulars.unreadable_phones as notes on orders.id = notes.order_id
            where orders.shop_customer_id is null and notes.order_id is null and orders.id > %(after)s
            order by orders.id
            limit %(limit)s
        )
        union
        (
            select order_id from regulars.changed_phones
            where order_id > %(after)s
            order by order_id
            limit %(limit)s
        )
    )
    select
        orders.id as order_id,
        orders.shop_id,
        orders.customer_phone,
        coalesce(shops.country, '') as country
    from candidates
    inner join public.shop_orders as orders on candidates.id = orders.id
    inner join public.user_shops as shops on orders.shop_id = shops.id
    order by orders.id
    limit %(limit)s
"""

# The phone is compared again: where it has changed since it was read, the order waits for the next round.
_LINK = """
    with
    phones as (
        select * from unnest(
            %(order_ids)s::uuid[], %(spelt)s::text[], %(phones)s::text[], %(reasons)s::text[]
        ) as t (order_id, spelt, phone, reason)
    ),
    read as (
        select
            orders.id as order_id,
            orders.shop_id,
            orders.shop_customer_id,
            orders.customer_email,
            orders.customer_name,
            regulars.as_utc(orders.created_at) as ordered_at,
            phones.phone,
            phones.reason
        from phones
        inner join public.shop_orders as orders on phones.order_id = orders.id
        where orders.customer_phone is not distinct from phones.spelt
        for no key update of orders
    ),
    created as (
        insert into public.shop_customers (shop_id, phone_number, email, customer_name, first_seen_at)
        select distinct on (read.shop_id, read.phone)
            read.shop_id, read.phone, read.customer_email, read.customer_name, coalesce(read.ordered_at, now())
        from read
        where read.phone is not null
        order by read.shop_id, read.phone, read.ordered_at
        on conflict (shop_id, phone_number) do nothing
    ),
    noted as (
        insert into regulars.unreadable_phones (order_id, shop_id, reason)
        select order_id, shop_id, reason from read where phone is null
        on conflict (order_id) do nothing
    ),
    settled as (
        delete from regulars.changed_phones
        where order_id in (select order_id from read)
    )
    select count(*) filter (where phone is null) from read
"""

# A statement of its own: the customers that the one before made are not visible inside it.
_UPDATE = """
    with
    phones as (
        select * from unnest(%(order_ids)s::uuid[], %(spelt)s::text[], %(phones)s::text[]) as t (order_id, spelt, phone)
    ),
    linked as (
        update public.shop_orders as orders
        set shop_customer_id = customers.id
        from phones
        left join public.shop_orders as same on phones.order_id = same.id
        left join public.shop_customers as customers
            on same.shop_id = customers.shop_id and phones.phone = customers.phone_number
        where
            orders.id = phones.order_id
            and orders.customer_phone is not distinct from phones.spelt
            and orders.shop_customer_id is distinct from customers.id
        returning orders.id, orders.shop_customer_id
    ),
    followed as (
        update public.customer_tracking as visits
        set shop_customer_id = linked.shop_customer_id
        from linked
        where visits.shop_order_id = linked.id and visits.shop_customer_id is distinct from linked.shop_customer_id
    )
    select count(shop_customer_id) from linked
"""


@dataclass(frozen=True, slots=True)
class Linked:
    """How many orders were linked, and how many were noted because their phone can't be read."""

    linked: int = 0
    unreadable: int = 0

    def __add__(self, other: "Linked") -> "Linked":
        return Linked(self.linked + other.linked, self.unreadable + other.unreadable)


def link(
    connection: Connection, *, chunk: int = 10_000, on_progress: Callable[[int], None] = lambda orders: None
) -> Linked:
    """Links every order that has no customer and whose phone can be read; notes the reason for each other one.

    Works through the orders in chunks, a transaction each, so that it can be stopped at any time and holds no
    lock for long. `on_progress` is told how many orders each chunk held.
    """
    result = Linked()
    after = _FIRST
    while True:
        with connection.cursor(row_factory=namedtuple_row) as cursor:
            orders = cursor.execute(_CANDIDATES, {"after": after, "limit": chunk}).fetchall()
        if not orders:
            return result
        readings = [read_phone(clean_text(order.customer_phone), country=order.country) for order in orders]
        chunk_of = {
            "order_ids": [order.order_id for order in orders],
            "spelt": [order.customer_phone for order in orders],
            "phones": [reading.e164 for reading in readings],
            "reasons": [reading.reason for reading in readings],
        }
        with connection.transaction():
            unreadable = connection.execute(_LINK, chunk_of).fetchone()
            linked = connection.execute(_UPDATE, chunk_of).fetchone()
        result += Linked(linked[0] if linked else 0, unreadable[0] if unreadable else 0)
        after = orders[-1].order_id
        on_progress(len(orders))
