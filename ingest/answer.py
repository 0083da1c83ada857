"""What became of an event that was told."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from ingest.checkout import Checkout, Visit
from ingest.storage.connections import Connection
from ingest.tracking import Outcome, track, visit


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


def write(connection: Connection, event: Checkout | Visit) -> Answer:
    """Writes an event to the database, whether it comes now or from the spool.

    Raises UnknownShop and UnknownOrder, and what the connection raises.
    """
    if isinstance(event, Visit):
        return Answer("noted", tracking_id=visit(connection, event))
    tracked = track(connection, event)
    return Answer(tracked.outcome, tracked.customer_id, tracked.tracking_id, tracked.reason)
