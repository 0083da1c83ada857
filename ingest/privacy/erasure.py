"""Erasure: a person's phone, e-mail and name leave a shop's rows, notes and spool; the totals stay.

What remains is a proof that holds no phone: a hash of it, keyed with REGULARS_ERASURE_KEY. By it the orders from
before the erasure that come later, from another machine's spool or an old export, are known and come without
identity. A purchase after the erasure makes a new customer: the buyer has given their data again.
"""

import hmac
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from pydantic import SecretStr

from ingest.privacy.person import Person, UnknownPerson, find_person, say_unresolved
from ingest.spool.file import Spool, without_identity
from ingest.storage.connections import Connection
from ingest.storage.errors import RegularsError, SettingError
from ingest.storage.settings import Settings

_LOCK = 0x5265_6745_7261  # "RegEra"

_PROOFS = """
    select shop_id, phone_hash, key_check, shop_customer_id, erased_at, erased_by
    from regulars.erasures
    where %(shop_ids)s::uuid[] is null or shop_id = any(%(shop_ids)s)
    order by erased_at
"""

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

_FORGET_CUSTOMER = """
    update regulars.customers
    set phone_number = null, email = null, customer_name = null, erased_at = %(erased_at)s
    where shop_id = %(shop_id)s and id = %(customer_id)s
"""

# Linked, but by now with another's phone: `link` gives them to that customer.
_LET_GO = """
    update regulars.tracking set shop_customer_id = null
    where shop_id = %(shop_id)s and shop_order_id = any(%(others)s)
"""

_FORGET_ORDERS = """
    with
    forgotten as (
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
        select %(shop_id)s, id, %(customer_id)s from forgotten
        on conflict (shop_order_id) do update
        set shop_customer_id = excluded.shop_customer_id, fingerprint = null
    ),
    queued as (
        delete from regulars.orders_to_match using forgotten where orders_to_match.order_id = forgotten.id
    ),
    noted as (
        delete from regulars.unreadable_phones using forgotten where unreadable_phones.order_id = forgotten.id
    )
    select id from forgotten
"""

# The storefront's own row stays, with its counters and under a placeholder: its phone may be neither null nor the same
# as another's.
_FORGET_EARLIER = """
    update public.shop_customers
    set phone_number = 'erased-' || left(md5(id::text), 13), email = null, customer_name = null
    where id = any(%(earlier_ids)s)
"""

_FORGET_FAILURES = """
    update regulars.failures
    set event = regulars.without_identity(event)
    where shop_id = %(shop_id)s and order_id = any(%(order_ids)s)
"""

# A conflict's fingerprint is a hash of the phone among others.
_FORGET_CONFLICTS = """
    update regulars.conflicts
    set event = regulars.without_identity(event), fingerprint = gen_random_uuid()
    where shop_id = %(shop_id)s and order_id = any(%(order_ids)s)
"""

_RESTORE_ERASED = """
    select regulars.restore_erased_customer(shop_id, shop_customer_id)
    from regulars.erasures
    where shop_customer_id = any(%(customer_ids)s)
"""

_LINK_ERASED = """
    with
    found as (
        select * from unnest(%(order_ids)s::uuid[], %(customer_ids)s::uuid[]) as found (order_id, customer_id)
    ),
    forgotten as (
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
        select shop_id, id, customer_id from forgotten
        on conflict (shop_order_id) do update
        set shop_customer_id = excluded.shop_customer_id, fingerprint = null
    )
    delete from regulars.unreadable_phones using found where unreadable_phones.order_id = found.order_id
"""

# What the storefront wrote back into an erased person's order, or a checkout at the very moment of the erasure.
_KEEP_ERASED = """
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


class ErasureBusy(RegularsError):
    """Orders are being loaded or matched, and could bring back what an erasure at the same time takes away."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did, or, with `was_erased` set, what one did before and this one found left over.

    `unresolved` are the numbers of spooled events that could hold the person or anybody, and were left as they are:
    `say_unresolved` says so in words.
    """

    erased_at: datetime
    erased_by: str
    was_erased: bool
    orders: int
    events: int
    unresolved: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Proof:
    customer_id: UUID
    erased_at: datetime
    erased_by: str


class Erasures:
    """The proofs of some shops: whose an order from before an erasure is.

    The key is asked of the settings when a proof needs it and not before: who has erased nobody needs none.
    """

    def __init__(self, proofs: dict[tuple[UUID, bytes], list[_Proof]], key_checks: set[bytes]) -> None:
        self._proofs = proofs
        self._key_checks = key_checks
        self._key: SecretStr | None = None
        self._last: dict[UUID, datetime] = {}
        for (shop_id, _), of_one in proofs.items():
            self._last[shop_id] = max(self._last.get(shop_id, of_one[-1].erased_at), of_one[-1].erased_at)

    @classmethod
    def read(cls, connection: Connection, *, shop_ids: Iterable[UUID] | None = None) -> "Erasures":
        """Those of `shop_ids`; of every shop where it is None."""
        proofs: dict[tuple[UUID, bytes], list[_Proof]] = {}
        key_checks: set[bytes] = set()
        only = None if shop_ids is None else list(set(shop_ids))
        for shop_id, phone_hash, key_check, *rest in connection.execute(_PROOFS, {"shop_ids": only}):
            proofs.setdefault((shop_id, bytes(phone_hash)), []).append(_Proof(*rest))
            key_checks.add(bytes(key_check))
        return cls(proofs, key_checks)

    def __bool__(self) -> bool:
        return bool(self._proofs)

    def customer_of(self, *, shop_id: UUID, e164: str | None, ordered_at: datetime | None) -> UUID | None:
        """The erased customer whose order this is; None where it is nobody's who was erased.

        An order without a time counts as old. Raises SettingError where the key is needed and missing or another.
        """
        last = self._last.get(shop_id)
        if last is None or e164 is None or (ordered_at is not None and ordered_at > last):
            return None
        for proof in self._proofs.get((shop_id, self.hash_of(shop_id=shop_id, e164=e164)), []):
            if ordered_at is None or ordered_at <= proof.erased_at:
                return proof.customer_id
        return None

    def hash_of(self, *, shop_id: UUID, e164: str) -> bytes:
        """Raises SettingError where the key is missing, or is not the one that the proofs were made with."""
        if self._key is None:
            key = required_key(Settings.from_environment())
            self.require_same_key(key)
            self._key = key
        return hash_phone(self._key, shop_id=shop_id, e164=e164)

    def require_same_key(self, key: SecretStr) -> None:
        """Raises SettingError: with another key, nobody who was erased would be recognised."""
        if self._key_checks - {_check_of(key)}:
            raise SettingError(
                "REGULARS_ERASURE_KEY is not the one that earlier erasures were made with: set that one again."
            )

    def last_of(self, *, shop_id: UUID, phone_hash: bytes) -> _Proof | None:
        """The latest erasure of this phone."""
        of_one = self._proofs.get((shop_id, phone_hash))
        return of_one[-1] if of_one else None

    def last_at(self, *, shop_id: UUID, e164: str, key: SecretStr) -> datetime | None:
        """When this phone was erased last; None also where `key` is not the one that the proofs were made with."""
        last = self.last_of(shop_id=shop_id, phone_hash=hash_phone(key, shop_id=shop_id, e164=e164))
        return last.erased_at if last else None


def required_key(settings: Settings) -> SecretStr:
    """Raises SettingError, which says how to make one."""
    if settings.erasure_key is None:
        raise SettingError(
            "REGULARS_ERASURE_KEY is not set: without it an erased person can't be recognised. Make one with "
            "`python -c 'import secrets; print(secrets.token_urlsafe(48))'`, keep it, and set it "
            "wherever Regulars runs."
        )
    return settings.erasure_key


def hash_phone(key: SecretStr, *, shop_id: UUID, e164: str) -> bytes:
    """HMAC-SHA-256 over the shop and the phone: the same phone in two shops has two hashes."""
    return hmac.digest(key.get_secret_value().encode(), f"{shop_id} {e164}".encode(), "sha256")


def _check_of(key: SecretStr) -> bytes:
    return hmac.digest(key.get_secret_value().encode(), b"regulars", "sha256")[:4]


def hash_for_track(key_check: bytes, *, shop_id: UUID, e164: str | None) -> bytes:
    """What `regulars.track` asks for; empty where the key of `key_check` is not at hand: the database then keeps the
    event."""
    try:
        key = required_key(Settings.from_environment())
    except SettingError:
        return b""
    return hash_phone(key, shop_id=shop_id, e164=e164 or "") if _check_of(key) == key_check else b""


def match_erased(connection: Connection, *, found: dict[UUID, UUID]) -> None:
    """Gives orders (order → erased customer) to the row of the erased, without identity."""
    facts = {"order_ids": list(found), "customer_ids": list(found.values())}
    connection.execute(_RESTORE_ERASED, facts)
    connection.execute(_LINK_ERASED, facts)


def keep_erased(connection: Connection) -> None:
    """Takes away again what was written back into the orders of the erased."""
    connection.execute(_KEEP_ERASED)


def wait_for_erasure(connection: Connection) -> None:
    """Until the end of the transaction, nobody is erased."""
    connection.execute("select pg_advisory_xact_lock_shared(%s)", [_LOCK])


@contextmanager
def no_erasure(connection: Connection) -> Iterator[None]:
    """Nobody is erased meanwhile, however many transactions it takes."""
    connection.execute("select pg_advisory_lock_shared(%s)", [_LOCK])
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock_shared(%s)", [_LOCK])


def erase(connection: Connection, *, shop: str, phone: str, key: SecretStr, spool: Spool, by: str | None) -> Erased:
    """Erases a person of a shop; `phone` in any spelling, read in the shop's country.

    The database's part is one transaction, and the spool's follows it: after a failure, run it again. It reaches this
    machine's spool; events in another's are known by their orders when they are replayed. Raises UnknownPerson,
    ErasureBusy, SpoolRefused, and SettingError where `key` is not the one used before.
    """
    with _alone(connection):
        person = find_person(connection, shop=shop, phone=phone, spool=spool, lock=True)
        unresolved = tuple(entry.event_id for entry in person.unresolved)
        proofs = Erasures.read(connection)
        proofs.require_same_key(key)
        phone_hash = hash_phone(key, shop_id=person.shop_id, e164=person.e164)
        before = proofs.last_of(shop_id=person.shop_id, phone_hash=phone_hash)
        if before is None and person.is_unknown:
            raise UnknownPerson(f"This shop holds nothing of that phone. {say_unresolved(unresolved)}".rstrip())
        if before is not None and not _came_back(person, since=before.erased_at):
            proof, was_erased = before, True
        else:
            proof, was_erased = _prove(connection, person, key=key, phone_hash=phone_hash, by=by), False
        orders = _forget(connection, person, customer_id=proof.customer_id)
    spool.rewrite({entry.event_id: without_identity(entry.event) for entry in person.spooled})
    return Erased(
        erased_at=proof.erased_at,
        erased_by=proof.erased_by,
        was_erased=was_erased,
        orders=orders,
        events=len(person.failed) + len(person.disputed) + len(person.spooled),
        unresolved=unresolved,
    )


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    try:
        with connection.transaction():
            connection.execute("set local lock_timeout = '5s'")
            connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
            yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        raise ErasureBusy(
            "Orders are being loaded, matched or checked out; nothing was erased. Run it again in a moment."
        ) from None


def _came_back(person: Person, *, since: datetime) -> bool:
    """Whether the person bought again after an erasure: that is a new customer, and takes a new erasure."""
    return person.customer is not None or any(order.at is not None and order.at > since for order in person.orders)


def _prove(connection: Connection, person: Person, *, key: SecretStr, phone_hash: bytes, by: str | None) -> _Proof:
    facts: dict[str, Any] = {
        "shop_id": person.shop_id,
        "phone_hash": phone_hash,
        "key_check": _check_of(key),
        "by": by,
        "first_seen_at": min((order.at for order in person.orders if order.at is not None), default=None),
    }
    if person.customer is not None:
        facts["customer_id"] = person.customer.customer_id
    else:
        # No order of theirs was matched so far; orders of theirs that come later need a row to go to.
        (facts["customer_id"],) = connection.execute(_NEW_CUSTOMER, facts).fetchone() or (None,)
    erased_at, erased_by = connection.execute(_PROVE, facts).fetchone() or (datetime.now(UTC), "")
    connection.execute(_FORGET_CUSTOMER, facts | {"erased_at": erased_at})
    return _Proof(facts["customer_id"], erased_at, erased_by)


def _forget(connection: Connection, person: Person, *, customer_id: UUID) -> int:
    facts: dict[str, Any] = {"shop_id": person.shop_id, "customer_id": customer_id, "others": person.others}
    connection.execute(_LET_GO, facts)
    facts["order_ids"] = [order.order_id for order in person.orders]
    forgotten = [order_id for (order_id,) in connection.execute(_FORGET_ORDERS, facts)]
    if person.earlier:
        connection.execute(_FORGET_EARLIER, {"earlier_ids": [row.earlier_id for row in person.earlier]})
    told = {"shop_id": person.shop_id}
    failed = [*forgotten, *(event.order_id for event in person.failed)]
    connection.execute(_FORGET_FAILURES, told | {"order_ids": failed})
    disputed = [*forgotten, *(event.order_id for event in person.disputed)]
    connection.execute(_FORGET_CONFLICTS, told | {"order_ids": disputed})
    return len(person.orders)
