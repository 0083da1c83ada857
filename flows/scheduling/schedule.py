"""When a refresh is due; a missed one stays due until a refresh succeeds."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ingest.storage.settings import Settings


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every day at `at` in `zone`, and also after each `every`."""

    at: time
    zone: ZoneInfo
    every: timedelta | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Schedule":
        every = timedelta(minutes=settings.refresh_every) if settings.refresh_every else None
        return cls(settings.refresh_at, ZoneInfo(settings.time_zone), every)

    def is_due(self, as_of: datetime | None, now: datetime) -> bool:
        """Whether numbers as of this moment (None: there are none yet) must be refreshed. Both moments are in UTC."""
        return as_of is None or as_of < self.last_due(now)

    def last_due(self, now: datetime) -> datetime:
        """The latest moment, not after `now`, as of which the numbers should be. In UTC."""
        today = now.astimezone(self.zone).date()
        # A zone that moves across the date line skips a day.
        daily = (self._moment(today - timedelta(days=days)) for days in range(3))
        due = max(moment for moment in daily if moment <= now)
        return max(due, now - self.every) if self.every else due

    def _moment(self, day: date) -> datetime:
        """A day's moment. A time that the clock skips comes that much later; of a time that occurs twice, the first."""
        return datetime.combine(day, self.at, tzinfo=self.zone).astimezone(UTC)
