"""Writing an event, now or from the spool: both go the same way."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import psycopg
from pydantic import ValidationError

from ingest.checkout import Checkout, Visit
from ingest.database import Connection
from ingest.errors import UnknownOrder, UnknownShop
from ingest.spool import Spool, Spooled
from ingest.tracking import Outcome, track, visit

_MOST_TRIES = 50


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an event.

    `outcome` is that of `track` (of a visit: noted), or spooled: the database did not take it in time, it is on this
    machine's disk and will be written; or refused: the disk did not take it either, and the log says why. `tracking_id`
    of a visit is what its checkout gives as visit_id.
    """

    outcome: Outcome | Literal["noted", "spooled", "refused"]
    customer_id: UUID | None = None
    tracking_id: UUID | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many spooled events were written, how many were set aside, and how many are left to be tried again."""

    written: int = 0
    set_aside: int = 0
    left: int = 0


def write(connection: Connection, event: Checkout | Visit) -> Answer:
    """Raises UnknownShop and UnknownOrder, and what the connection raises."""
    if isinstance(event, Visit):
        return Answer("noted", tracking_id=visit(connection, event))
    tracked = track(connection, event)
    return Answer(tracked.outcome, tracked.customer_id, tracked.tracking_id, tracked.reason)


def replay(connection: Connection, spool: Spool) -> Replayed:
    """Writes what waits in the spool, in its order; telling an event twice counts it once.

    An event that can't be written stops no other: it is set aside with its reason, or, where its order or shop may
    yet come, left to be tried again. Raises psycopg.OperationalError when the database is gone; nothing is lost then.
    """
    written = set_aside = left = last = 0
    while events := spool.waiting(after=last):
        for event in events:
            last = event.event_id
            try:
                write(connection, _parsed(event))
            except (UnknownShop, UnknownOrder) as error:
                is_hopeless = event.tries + 1 >= _MOST_TRIES
                spool.note_try(event.event_id, because=type(error).__name__ if is_hopeless else None)
                set_aside, left = set_aside + is_hopeless, left + (not is_hopeless)
            except (ValidationError, psycopg.DataError, psycopg.IntegrityError) as error:
                # The name of the error alone: its text may hold a phone.
                spool.note_try(event.event_id, because=type(error).__name__)
                set_aside += 1
            else:
                spool.remove(event.event_id)
                written += 1
    return Replayed(written, set_aside, left)


def _parsed(event: Spooled) -> Checkout | Visit:
    return (Checkout if event.kind == "checkout" else Visit).model_validate_json(event.event)
