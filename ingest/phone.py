"""Reading phones: every spelling of a number gives the same E.164, or a reason why it can't be read."""

import re
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumber

_EXTENSION = re.compile(r"(?:ext(?:n|ension)?|x)\.?\s*\d{1,7}\s*$", re.IGNORECASE)

_CACHE_SIZE = 65536
_SPACING = str.maketrans("", "", " -.()")


class PhoneReading(NamedTuple):
    """Either `e164` or `reason` is set. A reason never repeats the phone."""

    e164: str | None
    reason: str | None


# The reading of each number in E.164: the part of the work that all its spellings share.
_readings: dict[str, PhoneReading] = {}


def read_phone(text: str | None, *, country: str) -> PhoneReading:
    """Reads a phone as it is dialled in `country` (ISO 3166-1 alpha-2), or with any country code.

    An extension is dropped, because the line is the same. Never raises, whatever the text.
    """
    if text is None or not text.strip():
        return PhoneReading(None, "no phone given")
    if len(text) > 60:
        return PhoneReading(None, "too long for a phone")
    # Separators are removed first, so that the spellings of a number share an entry in the cache.
    return _read(text.strip().translate(_SPACING), country)


@lru_cache(maxsize=_CACHE_SIZE)
def _read(text: str, country: str) -> PhoneReading:
    if (reading := _readings.get(text)) is not None:
        return reading
    bare = _EXTENSION.sub("", text.removeprefix("tel:"))
    if any(character.isalpha() for character in bare):
        # phonenumbers would dial the letters as on a keypad, and turn a remark into a customer.
        return PhoneReading(None, "has letters")
    try:
        number = phonenumbers.parse(bare, country)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            return PhoneReading(None, "no such country code")
        return PhoneReading(None, "not a phone number")
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if (reading := _readings.get(e164)) is None:
        if len(_readings) >= _CACHE_SIZE:
            _readings.clear()
        reading = _readings[e164] = _judge(number, e164)
    return reading


def _judge(number: PhoneNumber, e164: str) -> PhoneReading:
    if phonenumbers.is_valid_number(number):
        return PhoneReading(e164, None)
    region = phonenumbers.region_code_for_country_code(number.country_code or 0)
    return PhoneReading(None, f"not a number that exists in {region}")
