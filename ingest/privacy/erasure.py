"""Erasure: a person's phone, e-mail and name leave a shop's rows, notes and spool; the totals stay.

Of their visits, the referrer and the campaign go too: both are free text, and may name them. What they bought then
counts for the campaign `unknown`.

A proof remains, which holds no phone: a hash of it, keyed with REGULARS_ERASURE_KEY. An order from before the erasure
may still come later, from another machine's spool or an old export; the proof recognises it, and it is stored without
identity. A purchase after the erasure makes a new customer: the buyer has given their data again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from ingest.privacy.erasure_lock import erasing
from ingest.privacy.events import without_identity
from ingest.privacy.person import Person, UnknownPerson, describe_unresolved, find_person
from ingest.privacy.phone_hash import check_of, hash_phone
from ingest.privacy.proofs import Proof, Proofs
from ingest.spool.file import Spool
from ingest.storage.connections import Connection

_NEW_CUSTOMER = """
    insert into regulars.customers (shop_id, erased_at, first_seen_at)
    values (%(shop_id)s, clock_timestamp(), coalesce(%(first_seen_at)s, now()))
    returning id
"""

_PROVE = """
    insert into regulars.erasures (shop_id, shop_customer_id, phone_hash, key_check, erased_at, erased_by)
    values (
        %(shop_id)s, %(customer_id)s, %(phone_hash)s, %(key_check)s, clock_timestamp(),
        coalesce(%(by)s, session_user)
    )
    returning erased_at, erased_by
"""

_CLEAR_CUSTOMER = """
    update regulars.customers
    set phone_number = null, email = null, customer_name = null, erased_at = %(erased_at)s
    where shop_id = %(shop_id)s and id = %(customer_id)s
"""

# Matched with this person, but the phone is somebody else's by now: the next match gives them to that customer.
_RELEASE_ORDERS = """
    update regulars.tracking set shop_customer_id = null
    where shop_id = %(shop_id)s and shop_order_id = any(%(released)s)
"""

_CLEAR_ORDERS = """
    with
    cleared as (
        update public.shop_orders
        set
            customer_phone = regulars.empty_value('customer_phone'),
            customer_email = regulars.empty_value('customer_email'),
            customer_name = regulars.empty_value('customer_name')
        where
            shop_id = %(shop_id)s
            and id in (
                select unnest(%(order_ids)s::uuid[])
                union
                select shop_order_id from regulars.tracking
                where shop_id = %(shop_id)s and shop_customer_id = %(customer_id)s
            )
        returning id
    ),
    matched as (
        insert into regulars.tracking (shop_id, shop_order_id, shop_customer_id)
        select %(shop_id)s, id, %(customer_id)s from cleared
        on conflict (shop_order_id) do update
        set shop_customer_id = excluded.shop_customer_id, fingerprint = null
    ),
    queued as (
        delete from regulars.orders_to_match using cleared where orders_to_match.order_id = cleared.id
    ),
    noted as (
        delete from regulars.unreadable_phones using cleared where unreadable_phones.order_id = cleared.id
    )
    select id from cleared
"""

# Also the visit of an order that has been deleted. A visit that is on its way would bring its texts along, so that none
# is awaited any more.
_CLEAR_VISITS = """
    update regulars.tracking
    set referrer = null, utm_source = null, utm_medium = null, utm_campaign = null, awaits_visit = false
    where shop_id = %(shop_id)s and shop_customer_id = %(customer_id)s
"""

_HAS_EARLIER_VISITS = "select regulars.has_earlier_tracking()"

_CLEAR_EARLIER_VISITS = """
    update public.customer_tracking
    set referrer = null, utm_source = null, utm_medium = null, utm_campaign = null
    where shop_id = %(shop_id)s and shop_order_id = any(%(order_ids)s)
"""

# The storefront's own row stays, with its counters. Its phone becomes a placeholder, because the column may be unique
# and not null.
_CLEAR_EARLIER = """
    update public.shop_customers
    set phone_number = 'erased-' || left(md5(id::text), 13), email = null, customer_name = null
    where id = any(%(earlier_ids)s)
"""

_CLEAR_FAILURES = """
    update regulars.failures
    set event = regulars.without_identity(event)
    where shop_id = %(shop_id)s and order_id = any(%(order_ids)s)
"""

# A conflict's fingerprint is a hash of the phone, among other facts.
_CLEAR_CONFLICTS = """
    update regulars.conflicts
    set event = regulars.without_identity(event), fingerprint = gen_random_uuid()
    where shop_id = %(shop_id)s and order_id = any(%(order_ids)s)
"""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did. `was_erased`: the person had been erased before, and this run removed what was left over.

    `unresolved` are the numbers of spooled events that may belong to this person or to anybody; they were left as they
    are. `describe_unresolved` says so in words.
    """

    erased_at: datetime
    erased_by: str
    was_erased: bool
    orders: int
    events: int
    unresolved: tuple[int, ...] = ()


def erase(connection: Connection, *, shop: str, phone: str, key: SecretStr, spool: Spool, by: str | None) -> Erased:
    """Erases a person of a shop; `phone` in any spelling, read in the shop's country.

    The database's part is one transaction, and the spool's follows it; after a failure, run it again: it is idempotent.
    It rewrites this machine's spool only; events in another machine's are recognised by their orders when they are
    replayed. Raises UnknownPerson, ErasureBusy, SpoolRefused, and SettingError if `key` is not the one used before.
    """
    with erasing(connection):
        person = find_person(connection, shop=shop, phone=phone, spool=spool, lock=True)
        unresolved = tuple(entry.event_id for entry in person.unresolved)
        proofs = Proofs.read(connection)
        proofs.require_same_key(key)
        phone_hash = hash_phone(key, shop_id=person.shop_id, e164=person.e164)
        before = proofs.last_of(shop_id=person.shop_id, phone_hash=phone_hash)
        if before is None and person.is_unknown:
            raise UnknownPerson(f"This shop holds nothing about that phone. {describe_unresolved(unresolved)}".rstrip())
        if before is not None and not _came_back(person, since=before.erased_at):
            proof, was_erased = before, True
        else:
            proof, was_erased = _prove(connection, person, key=key, phone_hash=phone_hash, by=by), False
        orders = _clear(connection, person, customer_id=proof.customer_id)
    spool.rewrite({entry.event_id: without_identity(entry) for entry in person.spooled})
    return Erased(
        erased_at=proof.erased_at,
        erased_by=proof.erased_by,
        was_erased=was_erased,
        orders=orders,
        events=len(person.failed) + len(person.disputed) + len(person.spooled),
        unresolved=unresolved,
    )


def _came_back(person: Person, *, since: datetime) -> bool:
    """Whether the person bought again after the erasure: they are a new customer then, and need a new erasure."""
    return person.customer is not None or any(order.at is not None and order.at > since for order in person.orders)


def _prove(connection: Connection, person: Person, *, key: SecretStr, phone_hash: bytes, by: str | None) -> Proof:
    facts: dict[str, Any] = {
        "shop_id": person.shop_id,
        "phone_hash": phone_hash,
        "key_check": check_of(key),
        "by": by,
        "first_seen_at": min((order.at for order in person.orders if order.at is not None), default=None),
    }
    if person.customer is not None:
        facts["customer_id"] = person.customer.customer_id
    else:
        # None of their orders has been matched yet. Orders that come later need a customer's row.
        (facts["customer_id"],) = connection.execute(_NEW_CUSTOMER, facts).fetchone() or (None,)
    erased_at, erased_by = connection.execute(_PROVE, facts).fetchone() or (datetime.now(UTC), "")
    connection.execute(_CLEAR_CUSTOMER, facts | {"erased_at": erased_at})
    return Proof(facts["customer_id"], erased_at, erased_by)


def _clear(connection: Connection, person: Person, *, customer_id: UUID) -> int:
    facts: dict[str, Any] = {"shop_id": person.shop_id, "customer_id": customer_id, "released": person.reassigned}
    connection.execute(_RELEASE_ORDERS, facts)
    facts["order_ids"] = [order.order_id for order in person.orders]
    cleared = [order_id for (order_id,) in connection.execute(_CLEAR_ORDERS, facts)]
    connection.execute(_CLEAR_VISITS, facts)
    if connection.execute(_HAS_EARLIER_VISITS).fetchone() == (True,):
        connection.execute(_CLEAR_EARLIER_VISITS, facts | {"order_ids": cleared})
    if person.earlier:
        connection.execute(_CLEAR_EARLIER, {"earlier_ids": [row.earlier_id for row in person.earlier]})
    of_shop = {"shop_id": person.shop_id}
    failed = [*cleared, *(event.order_id for event in person.failed)]
    connection.execute(_CLEAR_FAILURES, of_shop | {"order_ids": failed})
    disputed = [*cleared, *(event.order_id for event in person.disputed)]
    connection.execute(_CLEAR_CONFLICTS, of_shop | {"order_ids": disputed})
    return len(person.orders)
