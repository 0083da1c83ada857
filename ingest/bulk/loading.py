"""Loading import files into the raw tables: in bulk, with phones read as at checkout."""

# ruff: noqa: S608 - statements are built from the column names below and nothing else

import csv
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from itertools import islice
from typing import Any
from uuid import UUID

from ingest.bulk.import_file import ImportFile, OrderRow, Reject, ShopRow
from ingest.phone import read_phone
from ingest.privacy.erasure_lock import no_erasure
from ingest.privacy.proofs import Proofs
from ingest.storage.connections import Connection
from ingest.storage.errors import InputError

_ORDER_COLUMNS = (
    "customer_name, customer_email, customer_phone, network, volume_gb, base_price, profit_amount, "
    "total_price, order_status, payment_status, reference_code, created_at"
)
_VISIT_COLUMNS = "accessed_via_slug, accessed_at, referrer, utm_source, utm_medium, utm_campaign"


def _prefixed(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


_INCOMING = """
    create temporary table if not exists incoming (
        line int, id uuid, shop_id uuid, phone text, reason text, erased_customer_id uuid,
        customer_name text, customer_email text, customer_phone text, network text, volume_gb numeric,
        base_price numeric, profit_amount numeric, total_price numeric,
        order_status text, payment_status text, reference_code text, created_at timestamptz,
        accessed_via_slug text, accessed_at timestamptz, referrer text,
        utm_source text, utm_medium text, utm_campaign text
    ) on commit delete rows
"""

_COPY = (
    f"copy incoming (line, id, shop_id, phone, reason, erased_customer_id, {_ORDER_COLUMNS}, {_VISIT_COLUMNS}) "
    "from stdin with (format csv)"
)

_OTHER_SHOPS = """
    delete from incoming
    using public.shop_orders as orders
    where incoming.id = orders.id and incoming.shop_id <> orders.shop_id
    returning incoming.line
"""

# An order that is matched with an erased person stays theirs, whatever phone the file has for it.
_KEEP_ERASED = """
    update incoming
    set
        erased_customer_id = erasures.shop_customer_id,
        phone = null, customer_phone = null, customer_email = null, customer_name = null,
        referrer = null, utm_source = null, utm_medium = null, utm_campaign = null
    from regulars.tracking as standing
    inner join regulars.erasures as erasures
        on standing.shop_id = erasures.shop_id and standing.shop_customer_id = erasures.shop_customer_id
    where incoming.id = standing.shop_order_id
"""

_RESTORE_ERASED = """
    select regulars.restore_erased_customer(shop_id, erased_customer_id)
    from (select distinct shop_id, erased_customer_id from incoming where erased_customer_id is not null) as erased
"""

_CUSTOMERS = """
    insert into regulars.customers as standing (shop_id, phone_number, email, customer_name, first_seen_at)
    select distinct on (shop_id, phone) shop_id, phone, customer_email, customer_name, created_at
    from incoming
    where phone is not null
    order by shop_id, phone, created_at, id
    on conflict (shop_id, phone_number) do update set first_seen_at = excluded.first_seen_at
    where excluded.first_seen_at < standing.first_seen_at
"""


# A storefront's columns may require a text where the file has none.
_TEXTS = ("customer_name", "customer_email", "customer_phone", "network")
_VALUES = ", ".join(
    f"coalesce(incoming.{column}, (select regulars.empty_value('{column}')))"
    if column in _TEXTS
    else f"incoming.{column}"
    for column in _ORDER_COLUMNS.split(", ")
)

_ORDERS = f"""
    insert into public.shop_orders as standing (id, shop_id, {_ORDER_COLUMNS})
    select incoming.id, incoming.shop_id, {_VALUES}
    from incoming
    on conflict (id) do update
    set ({_ORDER_COLUMNS}, updated_at) = ({_prefixed("excluded", _ORDER_COLUMNS)}, now())
    where ({_prefixed("standing", _ORDER_COLUMNS)}) is distinct from ({_prefixed("excluded", _ORDER_COLUMNS)})
"""

_NOTES = """
    insert into regulars.unreadable_phones (order_id, shop_id, reason)
    select id, shop_id, reason from incoming where phone is null and erased_customer_id is null
    on conflict (order_id) do update set reason = excluded.reason
    where unreadable_phones.reason <> excluded.reason
"""

_MATCHED = "delete from regulars.orders_to_match using incoming where orders_to_match.order_id = incoming.id"

_FROM_FILE = f"""
    with given as (
        select
            incoming.id as order_id,
            incoming.shop_id,
            coalesce(incoming.erased_customer_id, customers.id) as customer_id,
            num_nonnulls({_VISIT_COLUMNS}) > 0 as has_visit,
            incoming.accessed_via_slug,
            coalesce(incoming.accessed_at, incoming.created_at) as accessed_at,
            incoming.referrer,
            incoming.utm_source,
            incoming.utm_medium,
            incoming.utm_campaign
        from incoming
        left join regulars.customers as customers
            on incoming.shop_id = customers.shop_id and incoming.phone = customers.phone_number
    )
"""

# A visit that checkout recorded stays if the file says nothing about it.
_CUSTOMERS_OF_ORDERS = f"""
    {_FROM_FILE}
    update regulars.tracking as standing
    set shop_customer_id = given.customer_id
    from given
    where standing.shop_order_id = given.order_id and standing.shop_customer_id is distinct from given.customer_id
"""

_VISITS = f"""
    {_FROM_FILE}
    update regulars.tracking as standing
    set ({_VISIT_COLUMNS}) = ({_prefixed("given", _VISIT_COLUMNS)})
    from given
    where
        standing.shop_order_id = given.order_id
        and given.has_visit
        and ({_prefixed("standing", _VISIT_COLUMNS)}) is distinct from ({_prefixed("given", _VISIT_COLUMNS)})
"""

_TRACKING = f"""
    {_FROM_FILE}
    insert into regulars.tracking (shop_id, shop_order_id, shop_customer_id, {_VISIT_COLUMNS})
    select
        given.shop_id, given.order_id, given.customer_id, given.accessed_via_slug,
        case when given.has_visit then given.accessed_at end,
        given.referrer, given.utm_source, given.utm_medium, given.utm_campaign
    from given
    where given.customer_id is not null or given.has_visit
    on conflict (shop_order_id) do nothing
"""

# One round trip: after each, this thread would wait for the interpreter's lock, behind the thread that reads the file.
_WRITE = ";".join([_CUSTOMERS, _ORDERS, _NOTES, _MATCHED, _CUSTOMERS_OF_ORDERS, _VISITS, _TRACKING])

# Columns of the storefront's table that require a value and that no file has.
_REQUIRED = """
    select attname::text
    from pg_attribute
    where
        attrelid = 'public.shop_orders'::regclass
        and attnum > 0
        and not attisdropped
        and attnotnull
        and not atthasdef
        and attidentity = ''
        and attname <> all(%(written)s)
    order by attnum
"""

_SHOP_COLUMNS = "user_id, shop_name, shop_slug, timezone, currency, country"

_SHOPS = f"""
    insert into public.user_shops as standing (id, {_SHOP_COLUMNS})
    values (
        %(id)s, %(user_id)s, %(shop_name)s, %(shop_slug)s, %(timezone)s, %(currency)s, %(country)s
    )
    on conflict (id) do update
    set ({_SHOP_COLUMNS}) = ({_prefixed("excluded", _SHOP_COLUMNS)})
    where ({_prefixed("standing", _SHOP_COLUMNS)}) is distinct from ({_prefixed("excluded", _SHOP_COLUMNS)})
"""


@dataclass(slots=True)
class Loaded:
    """What a load did. `written` counts the orders that were new or differed, `unchanged` the others."""

    shops: int = 0
    written: int = 0
    unchanged: int = 0
    unreadable: int = 0
    rejects: list[Reject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The rows of one transaction, as a COPY's text. The reading thread makes it, so that the writer never waits."""

    orders: int
    text: str
    has_erasures: bool


def load_shops(connection: Connection, file: ImportFile[ShopRow]) -> Loaded:
    """Writes the shops that are new or differ. Rejects a shop whose slug another shop has already."""
    loaded = Loaded()
    for line, shop in file:
        taken = connection.execute(
            "select 1 from public.user_shops where shop_slug = %s and id <> %s", [shop.shop_slug, shop.id]
        ).fetchone()
        if taken:
            file.rejects.append(Reject(file.path.name, line, "shop_slug: another shop has it already"))
            continue
        connection.execute(_SHOPS, shop.model_dump())
        loaded.shops += 1
    loaded.rejects = file.rejects
    return loaded


def load_orders(connection: Connection, file: ImportFile[OrderRow], *, chunk: int = 10_000) -> Loaded:
    """Writes the orders that are new or differ, matches them, and notes each phone that can't be read.

    Idempotent: the same file again changes nothing; a newer one updates. Each chunk is a transaction: after an
    interruption, load the file again from the start, and only the rest is written. While the database writes one
    chunk, the next is read.
    """
    loaded = Loaded()
    shops = {
        slug: (shop_id, country)
        for slug, shop_id, country in connection.execute(
            "select shop_slug, id, coalesce(country, '') from public.user_shops where shop_slug is not null"
        )
    }
    _require_defaults(connection)
    connection.execute(_INCOMING)
    with no_erasure(connection), _short_turns(), ThreadPoolExecutor(max_workers=1) as writer:
        proofs = Proofs.read(connection)
        writing = None
        for rows in _chunks(_readings(file, shops, proofs), chunk):
            next_one = _chunk(file, rows, has_erasures=bool(proofs))
            if writing is not None:
                writing.result()
            writing = writer.submit(_write, connection, file, next_one, loaded)
        if writing is not None:
            writing.result()
    loaded.rejects = sorted(file.rejects, key=lambda reject: reject.line)
    return loaded


def _require_defaults(connection: Connection) -> None:
    written = ["id", "shop_id", *_ORDER_COLUMNS.split(", ")]
    if required := [name for (name,) in connection.execute(_REQUIRED, {"written": written})]:
        settings = "; ".join(f"alter table shop_orders alter column {name} set default …" for name in required)
        raise InputError(
            f"shop_orders requires a value in {', '.join(required)}, which the file doesn't have; nothing was "
            f"written. Give each a default and load again: {settings}."
        )


@contextmanager
def _short_turns() -> Iterator[None]:
    """The writer needs the interpreter for an instant, many times a chunk, and would wait 5 ms for it each time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _readings(
    file: ImportFile[OrderRow], shops: dict[str, tuple[UUID, str]], proofs: Proofs
) -> Iterator[tuple[Any, ...]]:
    for line, order in file:
        shop = shops.get(order.shop_slug)
        if shop is None:
            file.rejects.append(
                Reject(file.path.name, line, "shop_slug: there is no such shop; add it to the shops' file")
            )
            continue
        shop_id, country = shop
        e164, reason = read_phone(order.customer_phone, country=country)
        erased_customer_id = None
        name, email, phone = order.customer_name, order.customer_email, order.customer_phone
        origin = (order.referrer, order.utm_source, order.utm_medium, order.utm_campaign)
        if proofs and (
            erased_customer_id := proofs.customer_of(shop_id=shop_id, e164=e164, ordered_at=order.created_at)
        ):
            e164 = name = email = phone = None
            origin = (None, None, None, None)
        yield (
            line, order.id, shop_id, e164, reason, erased_customer_id,
            name, email, phone, order.network, order.volume_gb,
            order.base_price, order.profit_amount, order.total_price,
            order.order_status, order.payment_status, order.reference_code, order.created_at,
            order.accessed_via_slug, order.accessed_at, *origin,
        )  # fmt: skip


def _chunk(file: ImportFile[OrderRow], rows: list[tuple[Any, ...]], *, has_erasures: bool) -> _Chunk:
    latest: dict[UUID, tuple[Any, ...]] = {}  # the later row of an order that the file has twice
    for row in rows:
        if latest.setdefault(row[1], row)[2] == row[2]:
            latest[row[1]] = row
        else:
            _reject_other_shops(file, row[0])
    text = StringIO(newline="")
    csv.writer(text).writerows(latest.values())
    return _Chunk(orders=len(latest), text=text.getvalue(), has_erasures=has_erasures)


def _write(connection: Connection, file: ImportFile[OrderRow], chunk: _Chunk, loaded: Loaded) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(_COPY) as copy:
            copy.write(chunk.text)
        refused = cursor.execute(_OTHER_SHOPS).fetchall()
        if chunk.has_erasures:
            cursor.execute(_KEEP_ERASED)
            cursor.execute(_RESTORE_ERASED)
        cursor.execute(_WRITE)
        counts = [cursor.rowcount]
        while cursor.nextset():
            counts.append(cursor.rowcount)
    _, written, unreadable, *_ = counts
    for (line,) in refused:
        _reject_other_shops(file, line)
    loaded.written += written
    loaded.unchanged += chunk.orders - len(refused) - written
    loaded.unreadable += unreadable


def _reject_other_shops(file: ImportFile[OrderRow], line: int) -> None:
    file.rejects.append(Reject(file.path.name, line, "id: another shop has an order with this id"))


def _chunks(rows: Iterable[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
