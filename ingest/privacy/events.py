"""Stored events, each with its buyer: checkouts that failed or were disputed, and whatever waits in the spool."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from ingest.privacy.identity import Buyer, read_buyer
from ingest.spool.file import Spool, Spooled
from ingest.storage.connections import Connection

# What names the buyer, and what may: an address that linked to the shop, or a campaign, can hold anything.
_IDENTITY = ("phone", "email", "customer_name", "referrer", "utm_source", "utm_medium", "utm_campaign")

_FAILURES = "select order_id, event, noted_at from regulars.failures where shop_id = %(shop_id)s order by noted_at"

_CONFLICTS = "select order_id, event, noted_at from regulars.conflicts where shop_id = %(shop_id)s order by noted_at"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A checkout that was stored because it failed, or because it disputes what was tracked before."""

    order_id: UUID
    event: dict[str, Any]
    noted_at: datetime


def read_failures(connection: Connection, *, shop_id: UUID, country: str) -> list[tuple[StoredEvent, Buyer]]:
    """The shop's failed checkouts, the oldest first."""
    return _read(connection, _FAILURES, shop_id=shop_id, country=country)


def read_conflicts(connection: Connection, *, shop_id: UUID, country: str) -> list[tuple[StoredEvent, Buyer]]:
    """The shop's disputed checkouts, the oldest first."""
    return _read(connection, _CONFLICTS, shop_id=shop_id, country=country)


def read_spooled(spool: Spool, *, shop_id: UUID, country: str) -> tuple[list[tuple[Spooled, Buyer]], list[Spooled]]:
    """The shop's spooled events, and the debris: entries that are not events, so that their shop is unknown."""
    events: list[tuple[Spooled, Buyer]] = []
    debris: list[Spooled] = []
    for entry in _everything(spool):
        event = parse_spooled(entry)
        if event is None:
            debris.append(entry)
        elif str(event.get("shop_id", "")).lower() == str(shop_id):
            events.append((entry, read_buyer(event, country=country)))
    return events, debris


def parse_spooled(entry: Spooled) -> dict[str, Any] | None:
    """None if the entry is not an event, but something else that was written into the file."""
    try:
        event = json.loads(entry.event)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def without_identity(entry: Spooled) -> str | None:
    """The event's text without the person's data, so that its order still counts. None if it is not an event."""
    event = parse_spooled(entry)
    if event is None:
        return None
    return json.dumps({name: fact for name, fact in event.items() if name not in _IDENTITY})


def _read(
    connection: Connection, query: LiteralString, *, shop_id: UUID, country: str
) -> list[tuple[StoredEvent, Buyer]]:
    events = [StoredEvent(*row) for row in connection.execute(query, {"shop_id": shop_id})]
    # The order of the row counts, not the one in the event.
    return [(event, replace(read_buyer(event.event, country=country), order_id=event.order_id)) for event in events]


def _everything(spool: Spool) -> Iterator[Spooled]:
    last = 0
    while entries := spool.everything(after=last):
        yield from entries
        last = entries[-1].event_id
