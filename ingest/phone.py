"""Phones: every spelling of one number meets in one E.164, or a reason says why it can't be read."""

import re
from functools import lru_cache
from typing import NamedTuple

import phonenumbers

_EXTENSION = re.compile(r"(?:ext(?:n|ension)?|x)\.?\s*\d{1,7}\s*$", re.IGNORECASE)

_SPACING = str.maketrans("", "", " -.()")


class PhoneReading(NamedTuple):
    """Either `e164` or `reason` is set. A reason never repeats the phone."""

    e164: str | None
    reason: str | None


def read_phone(text: str | None, *, country: str) -> PhoneReading:
    """Reads a phone as it is dialled in `country` (ISO 3166-1 alpha-2), or with a country code from anywhere.

    An extension is dropped: it is the same line. Never raises on any text.
    """
    if text is None or not text.strip():
        return PhoneReading(None, "no phone given")
    if len(text) > 60:
        return PhoneReading(None, "too long for a phone")
    # What only spaces digits out is taken away first, so that the spellings of a number share a place in the cache.
    return _read(text.strip().translate(_SPACING), country)


@lru_cache(maxsize=65536)
def _read(text: str, country: str) -> PhoneReading:
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
    if not phonenumbers.is_valid_number(number):
        region = phonenumbers.region_code_for_country_code(number.country_code or 0)
        return PhoneReading(None, f"not a number that exists in {region}")
    return PhoneReading(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), None)
