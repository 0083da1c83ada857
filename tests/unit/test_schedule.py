"""A refresh is due once a day, whatever the clock of the zone does, and once after any number that were missed."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from flows.scheduling.schedule import Schedule

_MINUTE = timedelta(minutes=1)


def _fired(schedule: Schedule, *, start: datetime, days: int) -> list[datetime]:
    """When a process that looks every minute refreshes, in the zone's own time. Refreshes take no time here."""
    as_of = now = start
    fired = []
    while now < start + timedelta(days=days):
        now += _MINUTE
        if schedule.is_due(as_of, now):
            as_of = now
            fired.append(now.astimezone(schedule.zone))
    return fired


def _at(clock: str) -> time:
    return time.fromisoformat(clock)


@pytest.mark.parametrize(
    ("zone", "at", "start", "days"),
    [
        ("America/New_York", "02:30", "2026-03-05", 7),  # 02:30 doesn't exist on the 8th
        ("America/New_York", "01:30", "2026-10-29", 7),  # 01:30 comes twice on November 1st
        ("Pacific/Apia", "03:30", "2020-09-24", 7),  # 03:30 doesn't exist on the 27th
        ("Pacific/Apia", "03:30", "2021-04-01", 7),  # 03:30 comes twice on the 4th
        ("Africa/Accra", "02:30", "2028-02-26", 7),  # a leap day
        ("Africa/Accra", "00:00", "2026-12-28", 7),  # the end of a year
        ("Africa/Accra", "23:59", "2026-04-27", 7),  # the end of a month
    ],
)
def test_a_refresh_is_due_exactly_once_on_every_local_day(zone: str, at: str, start: str, days: int) -> None:
    schedule = Schedule(_at(at), ZoneInfo(zone))
    midnight = datetime.fromisoformat(start).replace(tzinfo=schedule.zone).astimezone(UTC)
    fired = _fired(schedule, start=midnight - 2 * _MINUTE, days=days + 1)
    first = datetime.fromisoformat(start).date()
    wanted = [first + timedelta(days=day) for day in range(days)]
    assert [moment.date() for moment in fired if wanted[0] <= moment.date() <= wanted[-1]] == wanted


def test_a_time_that_does_not_exist_that_day_comes_as_much_later_as_the_clock_was_put_on() -> None:
    schedule = Schedule(_at("02:30"), ZoneInfo("America/New_York"))
    fired = _fired(schedule, start=datetime(2026, 3, 7, 12, tzinfo=UTC), days=2)
    assert [f"{moment:%d %H:%M}" for moment in fired] == ["08 03:30", "09 02:30"]


def test_a_time_that_comes_twice_that_day_counts_the_first_time() -> None:
    schedule = Schedule(_at("01:30"), ZoneInfo("America/New_York"))
    fired = _fired(schedule, start=datetime(2026, 10, 31, 12, tzinfo=UTC), days=2)
    assert [f"{moment:%d %H:%M %Z}" for moment in fired] == ["01 01:30 EDT", "02 01:30 EST"]


def test_the_day_that_apia_left_out_at_the_date_line_has_no_refresh() -> None:
    schedule = Schedule(_at("02:30"), ZoneInfo("Pacific/Apia"))
    fired = _fired(schedule, start=datetime(2011, 12, 28, 13, tzinfo=UTC), days=4)
    assert [f"{moment:%d %H:%M}" for moment in fired] == ["29 02:30", "31 02:30", "01 02:30", "02 02:30"]


@pytest.mark.parametrize("nights", [1, 3, 400])
def test_after_any_number_of_missed_nights_one_refresh_is_due(nights: int) -> None:
    schedule = Schedule(_at("02:30"), ZoneInfo("Africa/Accra"))
    woken = datetime(2026, 6, 15, 9, tzinfo=UTC)
    assert schedule.is_due(woken - timedelta(days=nights), woken)
    assert not schedule.is_due(woken, woken + _MINUTE)
    assert not schedule.is_due(woken, datetime(2026, 6, 16, 2, 29, tzinfo=UTC))
    assert schedule.is_due(woken, datetime(2026, 6, 16, 2, 30, tzinfo=UTC))


def test_without_any_numbers_a_refresh_is_due() -> None:
    schedule = Schedule(_at("02:30"), ZoneInfo("Africa/Accra"))
    assert schedule.is_due(None, datetime(2026, 6, 15, 9, tzinfo=UTC))


def test_during_the_day_a_refresh_is_due_so_many_minutes_after_the_last_one() -> None:
    schedule = Schedule(_at("02:30"), ZoneInfo("Africa/Accra"), timedelta(minutes=45))
    fired = _fired(schedule, start=datetime(2026, 6, 15, 1, tzinfo=UTC), days=1)
    # The night's own comes besides, and the day's are counted from it.
    assert [f"{moment:%H:%M}" for moment in fired[:4]] == ["01:46", "02:30", "03:16", "04:02"]
