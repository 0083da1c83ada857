"""PostgreSQL's names of time zones in Java, which knows those of the IANA, and those by their exact name alone."""

import re
from collections.abc import Iterable
from zoneinfo import available_timezones

# PostgreSQL reads the sign of an offset as POSIX has it: +05:30, and XYZ5:30, are west of Greenwich.
_OFFSET = re.compile(r"(?:[A-Za-z]{3,}|<[^<>]+>)?([+-]?)([0-9]{1,2})(?::([0-9]{2}))?(?::([0-9]{2}))?")
_MOST_HOURS = 18


def java_zones(names: Iterable[str]) -> dict[str, str]:
    """Of names of time zones those that PostgreSQL reads, each with Java's name: a zone of the IANA, or an offset."""
    known = {name.lower(): name for name in available_timezones()}
    found = {}
    for name in names:
        zone = known.get(name.lower()) or _offset(name)
        if zone is not None:
            found[name] = zone
    return found


def _offset(name: str) -> str | None:
    offset = _OFFSET.fullmatch(name)
    if offset is None or int(offset[2]) > _MOST_HOURS:
        return None
    sign = "+" if offset[1] == "-" else "-"
    return f"{sign}{int(offset[2]):02}:{offset[3] or '00'}:{offset[4] or '00'}"
