"""Time zones: which names exist, what PostgreSQL's names are called in Python and Java, and moments without one."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# PostgreSQL reads the sign of an offset as POSIX has it: +05:30, and XYZ5:30, are west of Greenwich.
_OFFSET = re.compile(r"(?:[A-Za-z]+|<[^<>]+>)?([+-]?)([0-9]{1,2})(?::([0-9]{2}))?(?::([0-9]{2}))?")
# Java has offsets of 18 hours at most.
_MOST_HOURS = 18

# IANA names that PostgreSQL reads as an abbreviation, without daylight saving time.
_WITHOUT_DST = {
    "cet": "+01:00:00", "eet": "+02:00:00", "est": "-05:00:00", "hst": "-10:00:00", "met": "+01:00:00",
    "mst": "-07:00:00", "wet": "+00:00:00",
}  # fmt: skip


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


def standard_zones(names: Iterable[str], regions: Iterable[str]) -> dict[str, str]:
    """The zones by PostgreSQL's names: each one of the IANA's `regions`, or an offset such as -05:30:00.

    Those that are neither are left out: some of PostgreSQL's abbreviations, and names that it doesn't know either.
    """
    known = {name.lower(): name for name in regions} | _WITHOUT_DST
    found = {}
    for name in names:
        zone = known.get(name.lower()) or _offset(name)
        if zone is not None:
            found[name] = zone
    return found


def _offset(name: str) -> str | None:
    offset = _OFFSET.fullmatch(name)
    if offset is None or int(offset[2]) >= _MOST_HOURS:
        return None
    sign = "+" if offset[1] == "-" else "-"
    return f"{sign}{int(offset[2]):02}:{offset[3] or '00'}:{offset[4] or '00'}"
