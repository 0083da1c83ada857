"""Tracking one checkout or one visit: one round trip, one transaction."""

from typing import Any, LiteralString, cast
from uuid import UUID

from psycopg.abc import Params
from psycopg.rows import tuple_row

from ingest.answer import Answer, CheckoutOutcome
from ingest.checkout import Checkout, Visit
from ingest.phone import read_phone
from ingest.storage.connections import Connection
from ingest.storage.errors import RegularsError, UnknownOrder, UnknownShop

# The country of each shop seen so far, as the database has it: a standing storefront's may be null. The database checks
# it in the same call, so a stale one costs a second call.
_countries: dict[UUID, str | None] = {}

_TRACK = """
    select country, outcome, customer_id, visit_id, key_check
    from regulars.track(%s, %s, %s, %s, %s)
"""

_VISIT = "select regulars.visit(%s)"


def track(connection: Connection, checkout: Checkout) -> Answer:
    """Matches the order with its customer, and writes or completes its tracking row.

    Idempotent: tracking the same order again, concurrently or later, in any spelling of the phone, changes nothing. On
    an autocommit connection it is one round trip; inside a transaction it becomes part of that transaction.

    Raises UnknownShop and UnknownOrder, and has written nothing then.
    """
    country = _countries.get(checkout.shop_id, "GH")
    event = checkout.model_dump_json(exclude_none=True)
    phone_hash = None
    for _ in range(4):
        e164, reason = read_phone(checkout.phone, country=country or "")
        row = _fetch_row(connection, _TRACK, [event, country, e164, reason, phone_hash])
        known_country, outcome, customer_id, visit_id, key_check = row
        if outcome == "unknown_shop":
            raise UnknownShop(f"There is no shop {checkout.shop_id}: write user_shops before its checkouts.")
        _countries[checkout.shop_id] = country = known_country
        if outcome == "unknown_order":
            raise UnknownOrder(
                f"The shop {checkout.shop_id} has no order {checkout.order_id}: write shop_orders before you track."
            )
        if outcome == "perhaps_erased":
            # The order is older than an erasure, which is rare: other checkouts don't pay for this import.
            from ingest.privacy.phone_hash import hash_for_track

            phone_hash = hash_for_track(key_check, shop_id=checkout.shop_id, e164=e164)
        elif outcome != "other_country":
            return Answer(
                outcome=cast("CheckoutOutcome", outcome),
                customer_id=customer_id,
                visit_id=visit_id,
                reason=reason if customer_id is None else None,
            )
    raise RegularsError("The shop's country changes faster than it can be read: track again.")


def visit(connection: Connection, visit: Visit) -> UUID:
    """Records that a shop's link was opened; returns the id that goes into the checkout as `visit_id`.

    Idempotent. A visit that arrives after its checkout completes that checkout's row. Raises UnknownShop.
    """
    if _fetch_row(connection, _VISIT, [visit.model_dump_json(exclude_none=True)]) == (False,):
        raise UnknownShop(f"There is no shop {visit.shop_id}: write user_shops before its visits.")
    return visit.visit_id


def write(connection: Connection, event: Checkout | Visit) -> Answer:
    """Writes an event to the database, from a live checkout or from the spool.

    Raises UnknownShop and UnknownOrder, and whatever the connection raises.
    """
    if isinstance(event, Visit):
        return Answer("noted", visit_id=visit(connection, event))
    return track(connection, event)


def _fetch_row(connection: Connection, statement: LiteralString, parameters: Params) -> tuple[Any, ...]:
    """One row, as a tuple, whatever row factory the caller's connection has."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(statement, parameters, prepare=True).fetchone()
    if row is None:
        raise RegularsError("The database did not answer: track again.")
    return row
