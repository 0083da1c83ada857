"""Reads a shop's time zone as PostgreSQL does for the models."""

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from ingest.storage.time_zones import standard_zones


@lru_cache(maxsize=1024)
def exact_name(name: str) -> str | None:
    """The IANA's exact name, or the offset, such as UTC-05:30; None where only PostgreSQL may know the zone."""
    zone = standard_zones([name], available_timezones()).get(name)
    return zone if zone is None or zone[0] not in "+-" else str(datetime.strptime(zone, "%z").tzinfo)


def zone_of(name: str) -> tzinfo:
    """The zone of an exact name."""
    if name.startswith(("UTC+", "UTC-")):
        return datetime.strptime(name, "UTC%z").tzinfo or UTC
    return ZoneInfo(name)
