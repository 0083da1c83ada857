"""PostgreSQL's names of time zones in Java: the same zone, whatever the case, and offsets with the other sign."""

import pytest

from flows.spark.zones import java_zones


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("Africa/Accra", "Africa/Accra"),
        ("africa/lagos", "Africa/Lagos"),
        ("EST5EDT", "EST5EDT"),
        ("+05:30", "-05:30:00"),
        ("-3", "+03:00:00"),
        ("XYZ-3", "+03:00:00"),
        ("<A+1>4:45:30", "-04:45:30"),
    ],
)
def test_a_zone_has_java_s_name(name: str, zone: str) -> None:
    assert java_zones([name]) == {name: zone}


@pytest.mark.parametrize("name", ["Not/AZone", "", "WAST", "+19", "XY3", "5EDT"])
def test_what_java_has_no_name_for_is_left_out(name: str) -> None:
    assert java_zones([name]) == {}
