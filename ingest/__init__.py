"""What a checkout calls. Nothing else writes raw rows."""

from ingest.answer import Answer
from ingest.checkout import Checkout, Visit
from ingest.storage.errors import RegularsError
from ingest.tracker import Tracker
from ingest.tracking import track, visit

__all__ = ["Answer", "Checkout", "RegularsError", "Tracker", "Visit", "track", "visit"]
