"""The orders of erased people: they stay, under a customer without identity, and nobody's data comes back with them."""

from uuid import UUID

from ingest.storage.connections import Connection

_RESTORE_ERASED = """
    select regulars.restore_erased_customer(shop_id, shop_customer_id)
    from regulars.erasures
    where shop_customer_id = any(%(customer_ids)s)
"""

_ASSIGN = """
    with
    found as (
        select * from unnest(%(order_ids)s::uuid[], %(customer_ids)s::uuid[]) as found (order_id, customer_id)
    ),
    cleared as (
        update public.shop_orders as orders
        set
            customer_phone = regulars.empty_value('customer_phone'),
            customer_email = regulars.empty_value('customer_email'),
            customer_name = regulars.empty_value('customer_name')
        from found
        where orders.id = found.order_id
        returning orders.id, orders.shop_id, found.customer_id
    ),
    matched as (
        insert into regulars.tracking (shop_id, shop_order_id, shop_customer_id)
        select shop_id, id, customer_id from cleared
        on conflict (shop_order_id) do update
        set
            shop_customer_id = excluded.shop_customer_id, fingerprint = null, awaits_visit = false,
            referrer = null, utm_source = null, utm_medium = null, utm_campaign = null
    )
    delete from regulars.unreadable_phones using found where unreadable_phones.order_id = found.order_id
"""

# The storefront, or a checkout at the very moment of the erasure, may have written identity back into an order.
_CLEAR = """
    update public.shop_orders as orders
    set
        customer_phone = regulars.empty_value('customer_phone'),
        customer_email = regulars.empty_value('customer_email'),
        customer_name = regulars.empty_value('customer_name')
    from regulars.erasures as erasures
    inner join regulars.tracking as standing
        on erasures.shop_id = standing.shop_id and erasures.shop_customer_id = standing.shop_customer_id
    where
        orders.id = standing.shop_order_id
        and concat(orders.customer_phone, orders.customer_email, orders.customer_name) <> ''
"""

# An old export, or a visit that was on its way, may have written into an erased person's visit what may name them.
_CLEAR_VISITS = """
    update regulars.tracking as standing
    set referrer = null, utm_source = null, utm_medium = null, utm_campaign = null, awaits_visit = false
    from regulars.erasures as erasures
    where
        erasures.shop_id = standing.shop_id
        and erasures.shop_customer_id = standing.shop_customer_id
        and (
            standing.awaits_visit
            or num_nonnulls(standing.referrer, standing.utm_source, standing.utm_medium, standing.utm_campaign) > 0
        )
"""


def assign_to_erased(connection: Connection, *, customers: dict[UUID, UUID]) -> None:
    """Matches orders with erased customers (order → customer) and removes the identity from them and their visits."""
    facts = {"order_ids": list(customers), "customer_ids": list(customers.values())}
    connection.execute(_RESTORE_ERASED, facts)
    connection.execute(_ASSIGN, facts)


def clear_erased_orders(connection: Connection) -> None:
    """Removes the identity that has been written back into the orders and visits of erased people."""
    connection.execute(_CLEAR)
    connection.execute(_CLEAR_VISITS)
