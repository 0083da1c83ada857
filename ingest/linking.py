"""Linking in bulk what checkout did not: orders without a customer, and orders whose phone has changed."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import psycopg

from ingest.checkout import clean_text
from ingest.database import Connection
from ingest.erasure import Erasures, keep_erased, link_erased, wait_for_erasure
from ingest.phone import PhoneReading, read_phone

_FIRST = UUID(int=0)

# Orders noted as unreadable are left out until their phone or their shop's country changes: triggers see to it.
_CANDIDATES = """
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
    order by id
    limit %(limit)s
"""

# An order that a checkout holds right now is left to it, or to the next time. Its time is kept within what Python
# can hold: a storefront's may be infinite, and without one it counts as old.
_ORDERS = """
    select
        orders.id as order_id,
        orders.shop_id,
        orders.customer_phone,
        coalesce(shops.country, '') as country,
        least(
            greatest(
                coalesce(regulars.as_utc(orders.created_at), regulars.as_utc(orders.updated_at)),
                timestamptz '0001-01-02'
            ),
            timestamptz '9999-12-30'
        ) as ordered_at
    from public.shop_orders as orders
    inner join public.user_shops as shops on orders.shop_id = shops.id
    where orders.id = any(%(order_ids)s)
    order by orders.id
    for no key update of orders skip locked
"""

_READ = """
    with
    read as (
        select
            orders.id as order_id,
            orders.shop_id,
            orders.customer_email,
            orders.customer_name,
            regulars.as_utc(orders.created_at) as ordered_at,
            phones.phone,
            phones.reason
        from unnest(%(order_ids)s::uuid[], %(phones)s::text[], %(reasons)s::text[])
            as phones (order_id, phone, reason)
        inner join public.shop_orders as orders on phones.order_id = orders.id
    ),
    created as (
        insert into public.shop_customers (shop_id, phone_number, email, customer_name, first_seen_at)
        select distinct on (shop_id, phone)
            shop_id, phone, customer_email, customer_name, coalesce(ordered_at, now())
        from read
        where phone is not null
        order by shop_id, phone, ordered_at
        on conflict (shop_id, phone_number) do nothing
    ),
    noted as (
        insert into regulars.unreadable_phones (order_id, shop_id, reason)
        select order_id, shop_id, reason from read where phone is null
        on conflict (order_id) do nothing
    )
    delete from regulars.changed_phones using read where changed_phones.order_id = read.order_id
"""

# A statement of its own: the customers that the one before made are not visible inside it.
_LINK = """
    with
    linked as (
        update public.shop_orders as orders
        set shop_customer_id = customers.id
        from unnest(%(order_ids)s::uuid[], %(phones)s::text[]) as phones (order_id, phone)
        inner join public.shop_orders as same on phones.order_id = same.id
        left join public.shop_customers as customers
            on same.shop_id = customers.shop_id and phones.phone = customers.phone_number
        where orders.id = phones.order_id and orders.shop_customer_id is distinct from customers.id
        returning orders.id, orders.shop_id, orders.shop_customer_id
    ),
    followed as (
        update public.customer_tracking as visits
        set shop_customer_id = linked.shop_customer_id
        from linked
        where
            visits.shop_order_id = linked.id
            and visits.shop_id = linked.shop_id
            and visits.shop_customer_id is distinct from linked.shop_customer_id
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


def link(connection: Connection, *, chunk: int = 2_000, on_progress: Callable[[int], None] = lambda _: None) -> Linked:
    """Links every order that has no customer and whose phone can be read; notes the reason for each other one.

    Works through the orders in chunks, a transaction each, so that it can be stopped at any time and a checkout
    waits for no more than a chunk. An order that is locked by another is left for the next time. `on_progress` is
    told how many orders each chunk held. `connection` is in autocommit.
    """
    result = Linked()
    after = _FIRST
    with suppress(psycopg.errors.LockNotAvailable), connection.transaction():
        connection.execute("set local lock_timeout = '2s'")
        keep_erased(connection)
    while ids := [order_id for (order_id,) in connection.execute(_CANDIDATES, {"after": after, "limit": chunk})]:
        # A customer may be in the making in a transaction that doesn't end: these orders wait, the others don't.
        with suppress(psycopg.errors.LockNotAvailable):
            result += _link_chunk(connection, ids)
        after = ids[-1]
        on_progress(len(ids))
    return result


def _link_chunk(connection: Connection, ids: list[UUID]) -> Linked:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("set local lock_timeout = '2s'")
        wait_for_erasure(connection)
        orders = cursor.execute(_ORDERS, {"order_ids": ids}).fetchall()
        erasures = Erasures.read(connection, shop_ids={shop_id for _, shop_id, *_ in orders})
        erased: dict[UUID, UUID] = {}
        readings: dict[UUID, PhoneReading] = {}
        for order_id, shop_id, phone, country, ordered_at in orders:
            reading = read_phone(clean_text(phone), country=country)
            customer_id = erasures.customer_of(shop_id=shop_id, e164=reading.e164, ordered_at=ordered_at)
            if customer_id is None:
                readings[order_id] = reading
            else:
                erased[order_id] = customer_id
        if erased:
            link_erased(connection, found=erased)
        read = {
            "order_ids": list(readings),
            "phones": [reading.e164 for reading in readings.values()],
            "reasons": [reading.reason for reading in readings.values()],
        }
        cursor.execute(_READ, read)
        (linked,) = cursor.execute(_LINK, read).fetchone() or (0,)
        return Linked(linked + len(erased), sum(reading.e164 is None for reading in readings.values()))
