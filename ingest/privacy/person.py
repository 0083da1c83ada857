"""A person of a shop, by their phone: everything that is held about them, wherever it is held.

Where an event's phone can't be read, its e-mail tells whose it is, if no other customer of the shop has the same.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import dict_row

from ingest.checkout import clean_text
from ingest.phone import read_phone
from ingest.privacy.identity import Identity, Told, told_by
from ingest.spool.file import Spool, Spooled
from ingest.storage.connections import Connection
from ingest.storage.errors import InputError, RegularsError, UnknownShop

_SHOP = """
    select id, coalesce(country, '') from public.user_shops where shop_slug = %(slug)s
    union
    select shops.id, coalesce(shops.country, '')
    from public.shop_slugs as slugs
    inner join public.user_shops as shops on slugs.shop_id = shops.id
    where slugs.slug = %(slug)s
"""

_CUSTOMER = """
    select id, phone_number, email, customer_name, first_seen_at::text
    from regulars.customers
    where shop_id = %(shop_id)s and phone_number = %(e164)s
"""

# Those of the customer, and those that `link` has still to read. A storefront's times may be infinite, which
# Python's can't.
_ORDERS = """
    select
        orders.id,
        orders.customer_phone,
        standing.shop_customer_id,
        case
            when coalesce(orders.created_at, orders.updated_at) is not null
            then least(
                greatest(
                    coalesce(regulars.as_utc(orders.created_at), regulars.as_utc(orders.updated_at)),
                    timestamptz '0001-01-02'
                ),
                timestamptz '9999-12-30'
            )
        end as at,
        exists (
            select 1 from regulars.orders_to_match as queue where queue.order_id = orders.id
        ) as is_queued
    from public.shop_orders as orders
    left join regulars.tracking as standing
        on orders.id = standing.shop_order_id and orders.shop_id = standing.shop_id
    where
        orders.shop_id = %(shop_id)s
        and (
            standing.shop_customer_id is null
            or standing.shop_customer_id = %(customer_id)s
            or orders.id in (select queue.order_id from regulars.orders_to_match as queue)
        )
    order by orders.id
"""

_LOCKED = " for no key update of orders"

# The storefront's own rows of customers, where it has a customer tracking from before Regulars.
_HAS_EARLIER = "select to_regclass('public.shop_customers') is not null"

_EARLIER = """
    select id, phone_number, email, customer_name
    from public.shop_customers
    where shop_id = %(shop_id)s
"""

# Orders without a customer and without a readable phone are nobody's: they make no e-mail another's.
_OWN_EMAILS = """
    with
    theirs as (
        select lower(trim(customer_email)) as email
        from public.shop_orders
        where shop_id = %(shop_id)s and id = any(%(order_ids)s)
        union
        select lower(trim(email)) as email
        from regulars.customers
        where shop_id = %(shop_id)s and id = %(customer_id)s
        union
        select email from unnest(%(emails)s::text[]) as told (email)
    ),
    others as (
        select lower(trim(customer_email)) as email
        from public.shop_orders
        where shop_id = %(shop_id)s and not (id = any(%(order_ids)s) or id = any(%(nobodys)s))
        union all
        select lower(trim(email)) as email
        from regulars.customers
        where shop_id = %(shop_id)s and id is distinct from %(customer_id)s
    )
    select theirs.email
    from theirs
    where
        theirs.email <> ''
        and not exists (select 1 from others where others.email = theirs.email)
"""

_KNOWN_ORDERS = "select id from public.shop_orders where shop_id = %(shop_id)s and id = any(%(order_ids)s)"

_FAILURES = "select order_id, event, noted_at from regulars.failures where shop_id = %(shop_id)s order by noted_at"

_CONFLICTS = "select order_id, event, noted_at from regulars.conflicts where shop_id = %(shop_id)s order by noted_at"

_ORDER_ROWS = """
    select
        id as order_id, created_at::text as created_at, customer_phone, customer_email,
        customer_name, network, volume_gb, total_price, order_status, payment_status, reference_code
    from public.shop_orders
    where shop_id = %(shop_id)s and id = any(%(order_ids)s)
    order by shop_orders.created_at, id
"""

_VISIT_ROWS = """
    select
        id as visit_id, shop_order_id as order_id, accessed_at::text as accessed_at,
        accessed_via_slug, referrer, utm_source, utm_medium, utm_campaign
    from regulars.tracking
    where shop_id = %(shop_id)s and shop_order_id = any(%(order_ids)s) and tracking.accessed_at is not null
    order by tracking.accessed_at, id
"""

_MOST_NUMBERS = 20


class UnknownPerson(RegularsError):
    """The shop holds nothing of a person with this phone."""


@dataclass(frozen=True, slots=True)
class Customer:
    customer_id: UUID
    phone_number: str
    email: str | None
    customer_name: str | None
    first_seen_at: str


@dataclass(frozen=True, slots=True)
class EarlierCustomer:
    """A row of the storefront's own customer tracking; one person may have several, each in another spelling."""

    earlier_id: UUID
    phone_number: str
    email: str | None
    customer_name: str | None


@dataclass(frozen=True, slots=True)
class Order:
    order_id: UUID
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Event:
    """A checkout that was kept because it failed, or because it disputes what stands."""

    order_id: UUID
    event: dict[str, Any]
    noted_at: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """Where a person's data are. `others` are orders matched with them that by now have another's phone.
    `unresolved` are spooled events that could be theirs or anybody's: neither phone nor e-mail nor order tells."""

    shop_id: UUID
    e164: str
    customer: Customer | None
    earlier: list[EarlierCustomer]
    orders: list[Order]
    others: list[UUID]
    failed: list[Event]
    disputed: list[Event]
    spooled: list[Spooled]
    unresolved: list[Spooled]

    @property
    def is_unknown(self) -> bool:
        return not (self.customer or self.earlier or self.orders or self.failed or self.disputed or self.spooled)


def read_shop(connection: Connection, *, shop: str, phone: str) -> tuple[UUID, str, str]:
    """The shop's id, its country, and the phone in E.164. Raises UnknownShop and InputError, without the phone."""
    row = connection.execute(_SHOP, {"slug": shop}).fetchone()
    if row is None:
        raise UnknownShop(
            "There is no shop of that slug; user_shops.shop_slug and shop_slugs.slug hold those that are."
        )
    shop_id, country = row
    e164, reason = read_phone(clean_text(phone), country=country)
    if e164 is None:
        raise InputError(f"This phone can't be read as one of {country or 'any country'}: {reason}.")
    return shop_id, country, e164


def find_person(connection: Connection, *, shop: str, phone: str, spool: Spool, lock: bool = False) -> Person:
    """Everything that is held; empty lists where there is nothing. With `lock`, orders stay as they are until the end
    of the transaction. Raises UnknownShop and InputError."""
    shop_id, country, e164 = read_shop(connection, shop=shop, phone=phone)
    row = connection.execute(_CUSTOMER, {"shop_id": shop_id, "e164": e164}).fetchone()
    customer = Customer(*row) if row else None
    facts: dict[str, Any] = {"shop_id": shop_id, "customer_id": customer.customer_id if customer else None}
    failures = _noted(connection, _FAILURES, facts, country=country)
    conflicts = _noted(connection, _CONFLICTS, facts, country=country)
    waiting, debris = _spooled(spool, shop_id=shop_id, country=country)

    orders: list[Order] = []
    others: list[UUID] = []
    nobodys: list[Order] = []
    query = _ORDERS + _LOCKED if lock else _ORDERS
    for order_id, text, customer_id, at, is_queued in connection.execute(query, facts):
        known = read_phone(clean_text(text), country=country).e164
        is_linked = customer is not None and customer_id == customer.customer_id
        if is_linked and is_queued and known is not None and known != e164:
            others.append(order_id)
        elif is_linked or known == e164:
            orders.append(Order(order_id, at))
        elif customer_id is None and known is None:
            nobodys.append(Order(order_id, at))

    def claim(identity: Identity) -> None:
        """An order that is nobody's is theirs where an event of theirs tells of it."""
        told_of = {told.order_id for told in _all_told(failures, waiting) if identity.is_of(told)}
        orders.extend(order for order in nobodys if order.order_id in told_of)
        nobodys[:] = [order for order in nobodys if order.order_id not in told_of]

    identity = Identity(e164)
    claim(identity)
    told_anywhere = _all_told(failures, conflicts, waiting)
    if debris or any(told.email and told.e164 is None for told in told_anywhere):
        facts["order_ids"] = [order.order_id for order in orders]
        facts["nobodys"] = [order.order_id for order in nobodys]
        identity = Identity(e164, _own_emails(connection, facts, told_anywhere, e164=e164))
        claim(identity)
    theirs = {order.order_id for order in orders}

    def is_theirs(told: Told) -> bool:
        return told.order_id in theirs or identity.is_of(told)

    unclear = [
        (entry, told) for entry, told in waiting if told.is_personal and told.e164 is None and not is_theirs(told)
    ]
    somebodys = _known_orders(connection, facts, _all_told(unclear)) - {order.order_id for order in nobodys}
    return Person(
        shop_id=shop_id,
        e164=e164,
        customer=customer,
        earlier=_earlier(connection, shop_id=shop_id, country=country, e164=e164),
        orders=orders,
        others=others,
        failed=[event for event, told in failures if is_theirs(told)],
        disputed=[event for event, told in conflicts if is_theirs(told)],
        spooled=[
            *(entry for entry, told in waiting if is_theirs(told)),
            *(entry for entry in debris if identity.is_in(entry.event)),
        ],
        unresolved=[
            *(entry for entry, told in unclear if told.order_id not in somebodys),
            *(entry for entry in debris if not identity.is_in(entry.event)),
        ],
    )


def say_unresolved(event_ids: Sequence[int]) -> str:
    """What an operator is told of events that could be the person's; empty where there are none."""
    if not event_ids:
        return ""
    numbers = ", ".join(map(str, event_ids[:_MOST_NUMBERS])) + (", …" if len(event_ids) > _MOST_NUMBERS else "")
    return (
        f"Spooled events that could be this person's or anybody's: {len(event_ids):,}. Their phone can't be read, and "
        f"no known order or e-mail says whose they are. Numbers: {numbers}. `regulars spool list` shows since when "
        "they wait, `regulars spool drop NUMBER` deletes one."
    )


def _earlier(connection: Connection, *, shop_id: UUID, country: str, e164: str) -> list[EarlierCustomer]:
    if connection.execute(_HAS_EARLIER).fetchone() != (True,):
        return []
    rows = [EarlierCustomer(*row) for row in connection.execute(_EARLIER, {"shop_id": shop_id})]
    return [row for row in rows if read_phone(clean_text(row.phone_number), country=country).e164 == e164]


def tell(connection: Connection, person: Person) -> dict[str, Any]:
    """What is held, in full, as it is told to the person who asks."""
    facts = {"shop_id": person.shop_id, "order_ids": [order.order_id for order in person.orders]}
    with connection.cursor(row_factory=dict_row) as cursor:
        orders = cursor.execute(_ORDER_ROWS, facts).fetchall()
        visits = cursor.execute(_VISIT_ROWS, facts).fetchall()
    customer = person.customer
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
        "conflicts": _told(person.disputed),
        "failures": _told(person.failed),
        "spooled": [
            {"number": entry.event_id, "spooled_at": entry.spooled_at, "event": _parsed(entry) or entry.event}
            for entry in person.spooled
        ],
    }


def _told(events: Iterable[Event]) -> list[dict[str, Any]]:
    return [{"order_id": event.order_id, "noted_at": event.noted_at, "event": event.event} for event in events]


def _all_told(*kept: Sequence[tuple[object, Told]]) -> list[Told]:
    return [told for each in kept for _, told in each]


def _noted(
    connection: Connection, query: LiteralString, facts: dict[str, Any], *, country: str
) -> list[tuple[Event, Told]]:
    events = [Event(*each) for each in connection.execute(query, facts)]
    # The row's order is the one that counts.
    return [(event, replace(told_by(event.event, country=country), order_id=event.order_id)) for event in events]


def _spooled(spool: Spool, *, shop_id: UUID, country: str) -> tuple[list[tuple[Spooled, Told]], list[Spooled]]:
    """The shop's events, and the debris, whose shop nobody knows."""
    waiting: list[tuple[Spooled, Told]] = []
    debris: list[Spooled] = []
    for entry in _everything(spool):
        event = _parsed(entry)
        if event is None:
            debris.append(entry)
        elif str(event.get("shop_id", "")).lower() == str(shop_id):
            waiting.append((entry, told_by(event, country=country)))
    return waiting, debris


def _own_emails(
    connection: Connection, facts: dict[str, Any], told_anywhere: Sequence[Told], *, e164: str
) -> frozenset[str]:
    """The e-mails by which an event without a readable phone is the person's: theirs, and no other customer's."""
    told = {(each.email, each.e164 == e164) for each in told_anywhere if each.email and each.e164 is not None}
    facts["emails"] = [email for email, is_theirs in told if is_theirs]
    own = (email for (email,) in connection.execute(_OWN_EMAILS, facts))
    return frozenset(email for email in own if (email, False) not in told)


def _known_orders(connection: Connection, facts: dict[str, Any], told: Sequence[Told]) -> set[UUID]:
    facts["order_ids"] = [each.order_id for each in told if each.order_id is not None]
    return {order_id for (order_id,) in connection.execute(_KNOWN_ORDERS, facts)}


def _everything(spool: Spool) -> Iterable[Spooled]:
    last = 0
    while entries := spool.everything(after=last):
        yield from entries
        last = entries[-1].event_id


def _parsed(entry: Spooled) -> dict[str, Any] | None:
    """None where it is no event at all, but debris that somebody or something wrote into the file."""
    try:
        event = json.loads(entry.event)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
