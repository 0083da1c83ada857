"""Matching in bulk the orders that checkout did not match, and those whose phone has changed since."""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import psycopg

from ingest.checkout import clean_text
from ingest.phone import PhoneReading, read_phone
from ingest.privacy.erased_orders import assign_to_erased, clear_erased_orders
from ingest.privacy.erasure_lock import block_erasures
from ingest.privacy.proofs import Proofs
from ingest.storage.connections import Connection

_FIRST = UUID(int=0)

# The orders that the change log has recorded since the last refresh; earlier ones are queued already.
_QUEUE_CHANGED = """
    insert into regulars.orders_to_match (order_id, shop_id)
    select unmatched.order_id, unmatched.shop_id
    from regulars.changes as changes
    inner join regulars.unmatched_orders as unmatched on changes.entity_id = unmatched.order_id
    where
        changes.entity = 'order'
        and not exists (select 1 from regulars.orders_to_match as queue where queue.order_id = unmatched.order_id)
"""

_QUEUE_EVERYTHING = """
    insert into regulars.orders_to_match (order_id, shop_id)
    select unmatched.order_id, unmatched.shop_id
    from regulars.unmatched_orders as unmatched
    where not exists (select 1 from regulars.orders_to_match as queue where queue.order_id = unmatched.order_id)
"""

_QUEUED = """
    select distinct order_id from regulars.orders_to_match
    where order_id > %(after)s
    order by order_id
    limit %(limit)s
"""

# An order that a checkout has locked is skipped: the checkout matches it, or the next run does. A storefront's times
# may be infinite, which Python's can't be. An order without a time counts as old.
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
        ) as ordered_at,
        standing.shop_customer_id is null
        or exists (
            select 1
            from regulars.orders_to_match as queue
            where queue.order_id = orders.id and queue.has_changed
        ) as is_to_match,
        array(
            select queue.queue_id from regulars.orders_to_match as queue where queue.order_id = orders.id
        ) as queue_ids
    from public.shop_orders as orders
    inner join public.user_shops as shops on orders.shop_id = shops.id
    left join regulars.tracking as standing
        on orders.id = standing.shop_order_id and orders.shop_id = standing.shop_id
    where orders.id = any(%(order_ids)s)
    order by orders.id
    for no key update of orders skip locked
"""

# When an order has moved to another shop, its row remains a visit of the first shop.
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
        insert into regulars.customers (shop_id, phone_number, email, customer_name, first_seen_at)
        select distinct on (shop_id, phone)
            shop_id, phone, nullif(customer_email, ''), nullif(customer_name, ''), coalesce(ordered_at, now())
        from read
        where phone is not null
        order by shop_id, phone, ordered_at, order_id
        on conflict (shop_id, phone_number) do nothing
    ),
    noted as (
        insert into regulars.unreadable_phones (order_id, shop_id, reason)
        select order_id, shop_id, reason from read where phone is null
        on conflict (order_id) do nothing
    )
    update regulars.tracking as visits
    set shop_order_id = null, shop_customer_id = null, fingerprint = null
    from read
    where visits.shop_order_id = read.order_id and visits.shop_id <> read.shop_id
"""

# A statement of its own: the customers that the statement above makes are not visible inside it. What a checkout wrote
# in the meantime stands, unless the order has changed since.
_MATCH = """
    with
    found as (
        select
            orders.id as order_id,
            orders.shop_id,
            customers.id as customer_id,
            standing.id as tracking_id,
            exists (
                select 1
                from regulars.orders_to_match as queue
                where queue.order_id = phones.order_id and queue.has_changed
            ) as has_changed
        from unnest(%(order_ids)s::uuid[], %(phones)s::text[]) as phones (order_id, phone)
        inner join public.shop_orders as orders on phones.order_id = orders.id
        left join regulars.customers as customers
            on orders.shop_id = customers.shop_id and phones.phone = customers.phone_number
        left join regulars.tracking as standing on orders.id = standing.shop_order_id
    ),
    changed as (
        update regulars.tracking as standing
        set shop_customer_id = found.customer_id
        from found
        where
            standing.id = found.tracking_id
            and found.has_changed
            and standing.shop_customer_id is distinct from found.customer_id
        returning standing.shop_customer_id
    ),
    matched as (
        insert into regulars.tracking as standing (shop_id, shop_order_id, shop_customer_id)
        select shop_id, order_id, customer_id
        from found
        where customer_id is not null and (tracking_id is null or not has_changed)
        on conflict (shop_order_id) do update set shop_customer_id = excluded.shop_customer_id
        where standing.shop_customer_id is null
        returning standing.shop_customer_id
    )
    select (select count(shop_customer_id) from changed) + (select count(*) from matched)
"""

_DONE = "delete from regulars.orders_to_match where queue_id = any(%(queue_ids)s)"

_FORGET_DELETED = """
    delete from regulars.orders_to_match as queue
    where not exists (select 1 from public.shop_orders as orders where orders.id = queue.order_id)
"""


@dataclass(frozen=True, slots=True)
class Matched:
    """How many orders were matched with a customer, and how many have a phone that can't be read."""

    matched: int = 0
    unreadable: int = 0

    def __add__(self, other: "Matched") -> "Matched":
        return Matched(self.matched + other.matched, self.unreadable + other.unreadable)


def match_orders(connection: Connection, *, everything: bool = False, chunk: int = 2_000) -> Matched:
    """Matches each order that has no customer by its phone; notes the reason if the phone can't be read.

    Looks at the queued orders and those that changed since the last refresh; with `everything`, which a first refresh
    or a rebuild needs, at all orders. Works in chunks, a transaction each, so that it can be stopped at any time and a
    checkout waits for a chunk at most. A locked order is left for the next time. `connection` is in autocommit.
    """
    result = Matched()
    after = _FIRST
    with suppress(psycopg.errors.LockNotAvailable), connection.transaction():
        connection.execute("set local lock_timeout = '2s'")
        clear_erased_orders(connection)
    connection.execute(_FORGET_DELETED)
    connection.execute(_QUEUE_EVERYTHING if everything else _QUEUE_CHANGED)
    while ids := [order_id for (order_id,) in connection.execute(_QUEUED, {"after": after, "limit": chunk})]:
        # Another transaction may be making one of the customers and not end: these orders wait, the others don't.
        with suppress(psycopg.errors.LockNotAvailable):
            result += _match_chunk(connection, ids)
        after = ids[-1]
    return result


def _match_chunk(connection: Connection, ids: list[UUID]) -> Matched:
    with connection.transaction(), connection.cursor() as cursor:
        # psycopg prepares what runs often, and a plan kept from when a table was nearly empty reads it whole for every
        # order.
        cursor.execute("set local lock_timeout = '2s'; set local plan_cache_mode = force_custom_plan")
        block_erasures(connection)
        orders = cursor.execute(_ORDERS, {"order_ids": ids}).fetchall()
        proofs = Proofs.read(connection, shop_ids={shop_id for _, shop_id, *_ in orders})
        erased: dict[UUID, UUID] = {}
        readings: dict[UUID, PhoneReading] = {}
        for order_id, shop_id, phone, country, ordered_at, is_to_match, _ in orders:
            if not is_to_match:
                continue
            reading = read_phone(clean_text(phone), country=country)
            customer_id = proofs.customer_of(shop_id=shop_id, e164=reading.e164, ordered_at=ordered_at)
            if customer_id is None:
                readings[order_id] = reading
            else:
                erased[order_id] = customer_id
        if erased:
            assign_to_erased(connection, customers=erased)
        read = {
            "order_ids": list(readings),
            "phones": [reading.e164 for reading in readings.values()],
            "reasons": [reading.reason for reading in readings.values()],
        }
        cursor.execute(_READ, read)
        (matched,) = cursor.execute(_MATCH, read).fetchone() or (0,)
        cursor.execute(_DONE, {"queue_ids": [queue_id for *_, queue_ids in orders for queue_id in queue_ids]})
        return Matched(matched + len(erased), sum(reading.e164 is None for reading in readings.values()))
