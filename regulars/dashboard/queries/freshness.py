"""How old the numbers are, and whether a refresh has counted a shop at all."""

from datetime import UTC, datetime, timedelta

from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from regulars.dashboard.errors import NotCountedYet
from regulars.dashboard.queries.select import fetch
from regulars.dashboard.schemas import Freshness, Shop


def stale_after(settings: Settings) -> timedelta:
    """The age from which numbers are too old."""
    return timedelta(hours=settings.stale_after_hours)


def freshness(connection: Connection, *, stale_after: timedelta) -> Freshness:
    """The moment that all numbers hold for. Works before the first refresh too."""
    row = connection.execute("select as_of, refreshed_at, has_failed from dashboard.freshness").fetchone()
    as_of, refreshed_at, has_failed = row or (None, None, False)
    stale = as_of is None or datetime.now(UTC) - as_of > stale_after
    return Freshness(as_of=as_of, refreshed_at=refreshed_at, stale=stale, has_failed=has_failed)


def require_counted(connection: Connection, shop: Shop) -> None:
    """Raises NotCountedYet where the shop has no cards: no refresh has run since it was added."""
    if not fetch(connection, "select 1 from dashboard.shop_overview where shop_id = %s", [shop.shop_id]):
        raise NotCountedYet
