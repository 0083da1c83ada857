"""What checkout calls: the only writer of raw rows."""

from ingest.checkout import Checkout, Visit
from ingest.errors import RegularsError
from ingest.tracking import Tracked, track, visit

__all__ = ["Checkout", "RegularsError", "Tracked", "Visit", "track", "visit"]
