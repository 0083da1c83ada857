"""An access request: a report of everything that is held about a person, or of their erasure."""

from collections.abc import Iterable
from typing import Any

from psycopg.rows import dict_row
from pydantic import SecretStr

from ingest.privacy.events import StoredEvent, parse_spooled
from ingest.privacy.person import Person, UnknownPerson, describe_unresolved, find_person
from ingest.privacy.proofs import Proofs
from ingest.spool.file import Spool
from ingest.storage.connections import Connection

_ORDERS = """
    select
        id as order_id, created_at::text as created_at, customer_phone, customer_email,
        customer_name, network, volume_gb, total_price, order_status, payment_status, reference_code
    from public.shop_orders
    where shop_id = %(shop_id)s and id = any(%(order_ids)s)
    order by shop_orders.created_at, id
"""

# Also the visit of an order that has been deleted; not that of an order that has become another's.
_VISITS = """
    select
        id as visit_id, shop_order_id as order_id, accessed_at::text as accessed_at,
        accessed_via_slug, referrer, utm_source, utm_medium, utm_campaign
    from regulars.tracking
    where
        shop_id = %(shop_id)s
        and (
            shop_order_id = any(%(order_ids)s)
            or (shop_customer_id = %(customer_id)s and (shop_order_id = any(%(reassigned)s)) is not true)
        )
        and tracking.accessed_at is not null
    order by tracking.accessed_at, id
"""

_HAS_STOREFRONT_VISITS = "select regulars.has_earlier_tracking()"

_STOREFRONT_VISITS = """
    select
        id as visit_id, shop_order_id as order_id, accessed_at::text as accessed_at,
        accessed_via_slug, referrer, utm_source, utm_medium, utm_campaign
    from public.customer_tracking
    where shop_id = %(shop_id)s and shop_order_id = any(%(order_ids)s)
    order by customer_tracking.accessed_at, id
"""


def answer_access_request(
    connection: Connection, *, shop: str, phone: str, key: SecretStr | None, spool: Spool
) -> dict[str, Any]:
    """Everything that the database and this machine's spool hold about a person; `phone` in any spelling.

    What an erasure would remove is in it. Raises UnknownShop, InputError, SpoolRefused, and UnknownPerson. With the key
    that the erasures were made with, UnknownPerson says when the person was erased.
    """
    person = find_person(connection, shop=shop, phone=phone, spool=spool)
    if not person.is_unknown:
        return report_person(connection, person)
    proofs = Proofs.read(connection, shop_ids=[person.shop_id])
    erased_at = proofs.last_at(shop_id=person.shop_id, e164=person.e164, key=key) if key else None
    when = f": it was erased on {erased_at:%Y-%m-%d} (UTC)" if erased_at else ""
    unresolved = describe_unresolved([entry.event_id for entry in person.unresolved])
    raise UnknownPerson(f"This shop holds nothing about that phone{when}. {unresolved}".rstrip())


def report_person(connection: Connection, person: Person) -> dict[str, Any]:
    """The full report, as the person who asks receives it."""
    customer = person.customer
    facts = {
        "shop_id": person.shop_id,
        "customer_id": customer.customer_id if customer else None,
        "order_ids": [order.order_id for order in person.orders],
        "reassigned": person.reassigned,
    }
    has_storefront_visits = connection.execute(_HAS_STOREFRONT_VISITS).fetchone() == (True,)
    with connection.cursor(row_factory=dict_row) as cursor:
        orders = cursor.execute(_ORDERS, facts).fetchall()
        visits = cursor.execute(_VISITS, facts).fetchall()
        storefront_visits = cursor.execute(_STOREFRONT_VISITS, facts).fetchall() if has_storefront_visits else []
    return {
        "phone": person.e164,
        "customer": {
            "customer_id": customer.customer_id,
            "email": customer.email,
            "customer_name": customer.customer_name,
            "first_seen_at": customer.first_seen_at,
        }
        if customer
        else None,
        "storefront_customers": [
            {"phone_number": row.phone_number, "email": row.email, "customer_name": row.customer_name}
            for row in person.earlier
        ],
        "orders": orders,
        "visits": visits,
        "storefront_visits": storefront_visits,
        "conflicts": _report_events(person.disputed),
        "failures": _report_events(person.failed),
        "spooled": [
            {"number": entry.event_id, "spooled_at": entry.spooled_at, "event": parse_spooled(entry) or entry.event}
            for entry in person.spooled
        ],
    }


def _report_events(events: Iterable[StoredEvent]) -> list[dict[str, Any]]:
    return [{"order_id": event.order_id, "noted_at": event.noted_at, "event": event.event} for event in events]
