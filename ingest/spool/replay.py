"""Replaying the spool: its events are written in groups, beside live traffic and beside other replays."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from pydantic import ValidationError

from ingest.checkout import Checkout, Visit
from ingest.spool.file import Spool, SpoolDamaged, Spooled, SpoolRefused
from ingest.spool.outage import is_outage
from ingest.storage.connections import Connection
from ingest.storage.errors import RegularsError, UnknownOrder, UnknownShop
from ingest.storage.group_commit import group_commit
from ingest.tracking import write

log = logging.getLogger("regulars.ingest")

_MOST_TRIES = 50
_EVENTS = 100  # in a group; it takes a tenth of a second, in which no other process may replay
_SECONDS_FOR_A_TURN = 30.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many events were written, how many were set aside, and how many are left to be tried again."""

    written: int = 0
    set_aside: int = 0
    left: int = 0


@dataclass(slots=True)
class _Group:
    """The result for the events of a group, by their numbers."""

    written: list[int] = field(default_factory=list)
    later: list[int] = field(default_factory=list)
    hopeless: dict[int, str] = field(default_factory=dict)


def replay(
    connection: Connection, spool: Spool, *, only_due: bool = False, goes_on: Callable[[], bool] = lambda: True
) -> Replayed:
    """Writes the spooled events to the database, in order. Idempotent: an event that is written twice counts once.

    An event that can't be written holds up no other: it is set aside with the reason or, if its order or shop may yet
    arrive, left to be tried again. Replays of the same spool by other processes alternate with this one, group by
    group. With `only_due`, events that were tried a moment ago are skipped. It ends early when `goes_on` returns False.
    `connection` is in autocommit. Raises psycopg.OperationalError if the database is down, and SpoolRefused; nothing is
    lost then.
    """
    written = set_aside = left = last = 0
    while goes_on():
        try:
            events, group = _replay_group(connection, spool, after=last, due_by=time.time() if only_due else None)
        except SpoolDamaged as damage:
            spool.set_aside(damage)
            break
        if not events:
            break
        last = events[-1].event_id
        written, left = written + len(group.written), left + len(group.later)
        set_aside += len(group.hopeless)
    return Replayed(written, set_aside, left)


def _replay_group(
    connection: Connection, spool: Spool, *, after: int, due_by: float | None
) -> tuple[list[Spooled], _Group]:
    with spool.replaying(timeout=_SECONDS_FOR_A_TURN) as is_our_turn:
        if not is_our_turn:
            raise SpoolRefused(
                f"{spool.path} is being replayed by another process, which does not end its turn: run it again later."
            )
        events = spool.waiting(after=after, limit=_EVENTS, due_by=due_by)
        group = _write_group(connection, events) if events else _Group()
        spool.settle(written=group.written, later=group.later, hopeless=group.hopeless)
    return events, group


def _write_group(connection: Connection, events: list[Spooled]) -> _Group:
    """Writes each event in a transaction of its own: one transaction for the group would hold locks on its customers,
    and make buyers wait."""
    group = _Group()
    with group_commit(connection):
        for event in events:
            try:
                write(connection, _parsed(event))
            except (ValidationError, psycopg.DataError, psycopg.IntegrityError) as error:
                # Only the name of the error, because its text may hold a phone.
                group.hopeless[event.event_id] = type(error).__name__
            except (UnknownShop, UnknownOrder) as error:
                if event.tries + 1 >= _MOST_TRIES:
                    group.hopeless[event.event_id] = type(error).__name__
                else:
                    group.later.append(event.event_id)
            except (psycopg.Error, RegularsError) as error:
                if is_outage(error):
                    raise
                # For example, a missing privilege, which somebody will grant.
                log.warning("a spooled event is tried again later: %s", type(error).__name__)
                group.later.append(event.event_id)
            else:
                group.written.append(event.event_id)
    return group


def _parsed(event: Spooled) -> Checkout | Visit:
    return (Checkout if event.kind == "checkout" else Visit).model_validate_json(event.event)
