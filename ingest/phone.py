"""Phones: every spelling of one number meets in one E.164, or a reason says why it can't be read."""

import re
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumber

_EXTENSION = re.compile(r"(?:ext(?:n|ension)?|x)\.?\s*\d{1,7}\s*$", re.IGNORECASE)

_REMEMBERED = 65536
_SPACING = str.maketrans("", "", " -.()")


class PhoneReading(NamedTuple):
    """Either `e164` or `reason` is set. A reason never repeats the phone."""

    e164: str | None
    reason: str | None


# What each number, in E.164, was found to be: the half of the work that a number's spellings share.
_readings: dict[str, PhoneReading] = {}


def read_phone(text: str | None, *, country: str) -> PhoneReading:
    """Reads a phone as it is dialled in `country` (ISO 3166-1 alpha-2), or with a country code from anywhere.

    An extension is dropped: it is the same line. Never raises on any text.
    """
    if text is None or not text.strip():
        return PhoneReading(None, "no phone given")
    if len(text) > 60:
        return PhoneReading(None, "too long for a phone")
    # What only spaces digits out goes first, so that the spellings of a number share a place in the cache.
    return _read(text.strip().translate(_SPACING), country)


@lru_cache(maxsize=_REMEMBERED)
def _read(text: str, country: str) -> PhoneReading:
    if (reading := _readings.get(text)) is not None:
        return reading
    bare = _EXTENSION.sub("", text.removeprefix("tel:"))
    if any(character.isalpha() for character in bare):
        # phonenumbers would dial the letters as on a keypad, and make a customer of a remark.
        return PhoneReading(None, "has letters")
    try:
        number = phonenumbers.parse(bare, country)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            return PhoneReading(None, "no such country code")
        return PhoneReading(None, "not a phone number")
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if (reading := _readings.get(e164)) is None:
        if len(_readings) >= _REMEMBERED:
            _readings.clear()
        reading = _readings[e164] = _judge(number, e164)
    return reading


def _judge(number: PhoneNumber, e164: str) -> PhoneReading:
    if phonenumbers.is_valid_number(number):
        return PhoneReading(e164, None)
    region = phonenumbers.region_code_for_country_code(number.country_code or 0)
    return PhoneReading(None, f"not a number that exists in {region}")
