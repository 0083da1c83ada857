"""The answer to an event: one list of outcomes for the tracker, the ingest API, its metrics and its documents."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

CheckoutOutcome = Literal["new_customer", "returning_customer", "unreadable", "replayed", "conflict", "failed"]
"""What the database did with a checkout.

- new_customer, returning_customer: the order has been matched with its customer.
- unreadable: the phone can't be read; the order has no customer, and the reason is recorded.
- replayed: the same checkout was tracked before; nothing was written.
- conflict: the order was tracked before with other facts. Those stand; these are stored for somebody to look at.
- failed: something broke inside the database. The checkout is stored there, and each refresh tries it again.
"""

VisitOutcome = Literal["noted"]
"""What the database did with a visit. noted: it is recorded, now or already before."""

SpoolOutcome = Literal["spooled", "refused"]
"""What happened to an event that the database did not take in time.

- spooled: it is on this machine's disk and will be written to the database.
- refused: the disk did not take it either; the log says why.
"""

Outcome = CheckoutOutcome | VisitOutcome | SpoolOutcome


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an event.

    A visit's `visit_id` goes into the checkout that completes it. `reason` says why an event was spooled or refused, or
    why its phone can't be read.
    """

    outcome: Outcome
    customer_id: UUID | None = None
    visit_id: UUID | None = None
    reason: str | None = None
