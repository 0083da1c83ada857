"""What became of an event: one list of outcomes for the tracker, the ingest API, its metrics and its documents."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

CheckoutOutcome = Literal["new_customer", "returning_customer", "unreadable", "replayed", "conflict", "failed"]
"""What the database does with a checkout.

new_customer, returning_customer: the order has its customer. unreadable: the phone can't be read, and the order is
kept without a customer. replayed: all of it stood already. conflict: the order was tracked with other facts; those
stand, these are kept for somebody to look at. failed: something broke inside the database; the checkout is kept
there, and each refresh tries it again.
"""

VisitOutcome = Literal["noted"]
"""The visit stands, from now on or already."""

KeptOutcome = Literal["spooled", "refused"]
"""What the database did not take in time. spooled: it is on this machine's disk and will be written. refused: the disk
did not take it either, and the log says why."""

Outcome = CheckoutOutcome | VisitOutcome | KeptOutcome


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an event. `visit_id` of a visit is what its checkout hands on; `reason` says why an event was
    spooled or refused, or why a phone can't be read."""

    outcome: Outcome
    customer_id: UUID | None = None
    visit_id: UUID | None = None
    reason: str | None = None
