"""PostgreSQL's names of time zones elsewhere: the same zone, whatever the case, and offsets with the other sign."""

from zoneinfo import available_timezones

import pytest

from ingest.storage.time_zones import standard_zones


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("Africa/Accra", "Africa/Accra"),
        ("africa/lagos", "Africa/Lagos"),
        ("EST5EDT", "EST5EDT"),
        ("+05:30", "-05:30:00"),
        ("-3", "+03:00:00"),
        ("XYZ-3", "+03:00:00"),
        ("X3", "-03:00:00"),
        ("CET", "+01:00:00"),
        ("<A+1>4:45:30", "-04:45:30"),
    ],
)
def test_a_zone_has_its_standard_name(name: str, zone: str) -> None:
    assert standard_zones([name], available_timezones()) == {name: zone}


@pytest.mark.parametrize("name", ["Not/AZone", "", "WAST", "+18:30", "5EDT"])
def test_what_has_no_standard_name_is_left_out(name: str) -> None:
    assert standard_zones([name], available_timezones()) == {}
