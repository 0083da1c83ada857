"""Finding a person of a shop by their phone: everything that is held about them, wherever it is held.

If an event's phone can't be read, its e-mail says whose it is, unless another customer of the shop has the same one.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ingest.checkout import clean_text
from ingest.phone import read_phone
from ingest.privacy.events import StoredEvent, read_conflicts, read_failures, read_spooled
from ingest.privacy.identity import Buyer, Identity
from ingest.spool.file import Spool, Spooled
from ingest.storage.connections import Connection
from ingest.storage.errors import InputError, RegularsError, UnknownShop

_SHOPS = """
    select id, coalesce(country, '') from public.user_shops where shop_slug = %(slug)s or id = %(shop_id)s
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

# The customer's orders, and those that have not been matched yet. A storefront's times may be infinite, which
# Python's can't be.
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

# An order with neither a customer nor a readable phone is unclaimed: it doesn't make its e-mail another customer's.
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
        select email from unnest(%(emails)s::text[]) as given (email)
    ),
    others as (
        select lower(trim(customer_email)) as email
        from public.shop_orders
        where shop_id = %(shop_id)s and not (id = any(%(order_ids)s) or id = any(%(unclaimed)s))
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

_MOST_NUMBERS = 20


class UnknownPerson(RegularsError):
    """The shop holds nothing about a person with this phone."""


class AmbiguousShop(InputError):
    """The slug is one shop's own and another's link: it doesn't say which of them is meant."""


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
class Person:
    """Where a person's data are.

    `reassigned` are orders that are matched with them, but whose phone has since become another's. `unresolved` are
    spooled events that may belong to this person or to anybody: neither phone nor e-mail nor order says whose they are.
    """

    shop_id: UUID
    e164: str
    customer: Customer | None
    earlier: list[EarlierCustomer]
    orders: list[Order]
    reassigned: list[UUID]
    failed: list[StoredEvent]
    disputed: list[StoredEvent]
    spooled: list[Spooled]
    unresolved: list[Spooled]

    @property
    def is_unknown(self) -> bool:
        return not (self.customer or self.earlier or self.orders or self.failed or self.disputed or self.spooled)


def read_shop(connection: Connection, *, shop: str, phone: str) -> tuple[UUID, str, str]:
    """The shop's id, its country, and the phone in E.164; `shop` is the shop's slug, that of a link of its, or its id.

    Raises UnknownShop, AmbiguousShop and InputError, without the phone.
    """
    shop_id, country = _find_shop(connection, shop)
    e164, reason = read_phone(clean_text(phone), country=country)
    if e164 is None:
        raise InputError(f"This phone can't be read as one of {country or 'any country'}: {reason}.")
    return shop_id, country, e164


def find_person(connection: Connection, *, shop: str, phone: str, spool: Spool, lock: bool = False) -> Person:
    """Everything that is held about a person; empty lists if nothing is.

    With `lock`, the orders are locked until the end of the transaction. Raises UnknownShop and InputError.
    """
    shop_id, country, e164 = read_shop(connection, shop=shop, phone=phone)
    row = connection.execute(_CUSTOMER, {"shop_id": shop_id, "e164": e164}).fetchone()
    customer = Customer(*row) if row else None
    facts: dict[str, Any] = {"shop_id": shop_id, "customer_id": customer.customer_id if customer else None}
    failures = read_failures(connection, shop_id=shop_id, country=country)
    conflicts = read_conflicts(connection, shop_id=shop_id, country=country)
    spooled, debris = read_spooled(spool, shop_id=shop_id, country=country)

    orders: list[Order] = []
    reassigned: list[UUID] = []
    unclaimed: list[Order] = []
    query = _ORDERS + _LOCKED if lock else _ORDERS
    for order_id, text, customer_id, at, is_queued in connection.execute(query, facts):
        known = read_phone(clean_text(text), country=country).e164
        is_matched = customer is not None and customer_id == customer.customer_id
        if is_matched and is_queued and known is not None and known != e164:
            reassigned.append(order_id)
        elif is_matched or known == e164:
            orders.append(Order(order_id, at))
        elif customer_id is None and known is None:
            unclaimed.append(Order(order_id, at))

    def claim(identity: Identity) -> None:
        """An unclaimed order is this person's if an event of theirs names it."""
        named = {buyer.order_id for buyer in _buyers(failures, spooled) if identity.matches(buyer)}
        orders.extend(order for order in unclaimed if order.order_id in named)
        unclaimed[:] = [order for order in unclaimed if order.order_id not in named]

    identity = Identity(e164)
    claim(identity)
    buyers = _buyers(failures, conflicts, spooled)
    if debris or any(buyer.email and buyer.e164 is None for buyer in buyers):
        facts["order_ids"] = [order.order_id for order in orders]
        facts["unclaimed"] = [order.order_id for order in unclaimed]
        identity = Identity(e164, _own_emails(connection, facts, buyers, e164=e164))
        claim(identity)
    own_orders = {order.order_id for order in orders}

    def is_theirs(buyer: Buyer) -> bool:
        return buyer.order_id in own_orders or identity.matches(buyer)

    unclear = [
        (entry, buyer) for entry, buyer in spooled if buyer.is_personal and buyer.e164 is None and not is_theirs(buyer)
    ]
    others_orders = _known_orders(connection, facts, _buyers(unclear)) - {order.order_id for order in unclaimed}
    return Person(
        shop_id=shop_id,
        e164=e164,
        customer=customer,
        earlier=_earlier(connection, shop_id=shop_id, country=country, e164=e164),
        orders=orders,
        reassigned=reassigned,
        failed=[event for event, buyer in failures if is_theirs(buyer)],
        disputed=[event for event, buyer in conflicts if is_theirs(buyer)],
        spooled=[
            *(entry for entry, buyer in spooled if is_theirs(buyer)),
            *(entry for entry in debris if identity.appears_in(entry.event)),
        ],
        unresolved=[
            *(entry for entry, buyer in unclear if buyer.order_id not in others_orders),
            *(entry for entry in debris if not identity.appears_in(entry.event)),
        ],
    )


def describe_unresolved(event_ids: Sequence[int]) -> str:
    """A message for the operator about events that may be the person's; empty if there are none."""
    if not event_ids:
        return ""
    numbers = ", ".join(map(str, event_ids[:_MOST_NUMBERS])) + (", …" if len(event_ids) > _MOST_NUMBERS else "")
    return (
        f"Spooled events that may belong to this person or to anybody: {len(event_ids):,}. Their phone can't be read, "
        f"and no known order or e-mail says whose they are. Numbers: {numbers}. `regulars spool list` shows since when "
        "they have waited, `regulars spool drop NUMBER` deletes one."
    )


def _find_shop(connection: Connection, shop: str) -> tuple[UUID, str]:
    given_id = None
    with suppress(ValueError):
        given_id = UUID(shop)
    found: dict[UUID, str] = dict(connection.execute(_SHOPS, {"slug": shop, "shop_id": given_id}))
    if given_id in found:
        return given_id, found[given_id]
    if not found:
        raise UnknownShop(
            "There is no shop with that slug or id; user_shops.shop_slug and shop_slugs.slug hold the slugs that exist."
        )
    if len(found) > 1:
        raise AmbiguousShop(
            f"{len(found)} shops have that slug, as their own or as a link's: give the id of the shop that is meant "
            "instead (user_shops.id)."
        )
    return found.popitem()


def _earlier(connection: Connection, *, shop_id: UUID, country: str, e164: str) -> list[EarlierCustomer]:
    if connection.execute(_HAS_EARLIER).fetchone() != (True,):
        return []
    rows = [EarlierCustomer(*row) for row in connection.execute(_EARLIER, {"shop_id": shop_id})]
    return [row for row in rows if read_phone(clean_text(row.phone_number), country=country).e164 == e164]


def _buyers(*stored: Sequence[tuple[object, Buyer]]) -> list[Buyer]:
    return [buyer for each in stored for _, buyer in each]


def _own_emails(connection: Connection, facts: dict[str, Any], buyers: Sequence[Buyer], *, e164: str) -> frozenset[str]:
    """The e-mails that identify the person without a readable phone: theirs, and no other customer's."""
    given = {(buyer.email, buyer.e164 == e164) for buyer in buyers if buyer.email and buyer.e164 is not None}
    facts["emails"] = [email for email, is_theirs in given if is_theirs]
    own = (email for (email,) in connection.execute(_OWN_EMAILS, facts))
    return frozenset(email for email in own if (email, False) not in given)


def _known_orders(connection: Connection, facts: dict[str, Any], buyers: Sequence[Buyer]) -> set[UUID]:
    facts["order_ids"] = [buyer.order_id for buyer in buyers if buyer.order_id is not None]
    return {order_id for (order_id,) in connection.execute(_KNOWN_ORDERS, facts)}
