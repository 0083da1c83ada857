"""Phones: all spellings of a number are one customer, and no text breaks a checkout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.phone import read_phone

COUNTRIES = st.sampled_from(["GH", "US", "NG", "GB", "", "XX"])


@given(text=st.text(max_size=80) | st.from_regex(r"\A[+0-9() .\-x]{1,25}\Z"), country=COUNTRIES)
def test_any_text_is_read_or_has_a_reason(text: str, country: str) -> None:
    reading = read_phone(text, country=country)
    assert (reading.e164 is None) != (reading.reason is None)


@given(text=st.text(min_size=1, max_size=80), country=COUNTRIES)
def test_a_reason_does_not_repeat_the_phone(text: str, country: str) -> None:
    reason = read_phone(text, country=country).reason
    digits = "".join(character for character in text if character.isdigit())
    assert reason is None or len(digits) < 3 or digits not in reason


@given(text=st.text(max_size=80) | st.from_regex(r"\A0[25][0-9]{8}\Z"), country=COUNTRIES)
def test_reading_an_e164_number_returns_it(text: str, country: str) -> None:
    e164 = read_phone(text, country=country).e164
    assert e164 is None or read_phone(e164, country=country).e164 == e164


# National numbers that exist, without their 0: 20, 24, 27, 50, 54, 55 and 59 are mobile prefixes.
NUMBERS = st.builds("{}{:07d}".format, st.sampled_from(["20", "24", "27", "50", "54", "55"]), st.integers(0, 9_999_999))
PREFIXES = st.sampled_from(["0", "", "233", "00233", "+233", "+233 (0)", "+233 0", "tel:+233"])
SPACES = st.sampled_from(["", " ", "-", ".", "  ", " - "])


@given(
    number=NUMBERS,
    prefix=PREFIXES,
    space=SPACES,
    wide=st.booleans(),
    extension=st.sampled_from(["", " ext. 12"]),
)
def test_all_spellings_of_a_ghanaian_number_give_the_same_e164(
    number: str, prefix: str, space: str, wide: bool, extension: str
) -> None:
    spelt = prefix + space.join([number[:2], number[2:5], number[5:]]) + extension
    if wide:
        spelt = spelt.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"})
    assert read_phone(f" {spelt} ", country="GH").e164 == f"+233{number}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no phone given"),
        (" \t ", "no phone given"),
        ("0" * 61, "too long for a phone"),
        ("call Ama 0241234567", "has letters"),
        ("0800-FLOWERS", "has letters"),
        ("+999 123 4567", "no such country code"),
        ("12", "not a number that exists in GH"),
        ("0", "not a phone number"),
        ("0590000000", "not a number that exists in GH"),
        ("024123456", "not a number that exists in GH"),
        ("02412345678", "not a number that exists in GH"),
    ],
)
def test_a_text_that_is_not_a_phone_has_a_reason(text: str | None, reason: str) -> None:
    assert read_phone(text, country="GH") == (None, reason)


def test_a_foreign_number_is_read_by_its_country_code() -> None:
    assert read_phone("+1 (212) 555-0123", country="GH").e164 == "+12125550123"
    assert read_phone("212-555-0123", country="US").e164 == "+12125550123"
    assert read_phone("212-555-0123", country="GH").e164 is None
