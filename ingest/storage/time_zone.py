"""Time zones: of moments that name none, and the names that exist."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def in_utc(moment: datetime | None) -> datetime | None:
    """Reads a naive time as UTC, which the storefront's are."""
    if moment is not None and moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment


def require_zone(name: str) -> str:
    """The name, if it is an IANA time zone's. Raises ValueError, to be used as a validator of pydantic's."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a time zone such as Africa/Accra") from None
    return name
