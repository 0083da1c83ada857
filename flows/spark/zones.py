"""PostgreSQL's names of time zones in Java, which knows those of the IANA, and those by their exact name alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# PostgreSQL reads the sign of an offset as POSIX has it: +05:30, and XYZ5:30, are west of Greenwich.
_OFFSET = re.compile(r"(?:[A-Za-z]+|<[^<>]+>)?([+-]?)([0-9]{1,2})(?::([0-9]{2}))?(?::([0-9]{2}))?")
# Java has offsets of 18 hours at most.
_MOST_HOURS = 18

# Names of the IANA's that PostgreSQL reads as an abbreviation: they have no daylight saving time there.
_WITHOUT_DST = {
    "cet": "+01:00:00", "eet": "+02:00:00", "est": "-05:00:00", "hst": "-10:00:00", "met": "+01:00:00",
    "mst": "-07:00:00", "wet": "+00:00:00",
}  # fmt: skip


def java_zones(names: Iterable[str], regions: Iterable[str]) -> dict[str, str]:
    """Of names that PostgreSQL reads those that Java can, too, with Java's name: one of its regions, or an offset."""
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


def java_regions(spark: SparkSession) -> list[str]:
    """The zones of the IANA that this session's Java knows; a new one comes with a new Java."""
    java = spark._jvm
    return list(java.java.lang.String.join(" ", java.java.time.ZoneId.getAvailableZoneIds()).split())
