"""What an event says about its buyer, and whether that buyer is a given person."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import phonenumbers

from ingest.checkout import clean_text
from ingest.phone import read_phone

_SHORTEST_NATIONAL = 7


@dataclass(frozen=True, slots=True)
class Buyer:
    """The buyer as an event describes them.

    `e164` is None if the phone can't be read; `is_personal` says whether there is any phone, e-mail or name at all.
    """

    order_id: UUID | None
    e164: str | None
    email: str | None
    is_personal: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """A person's phone, and the e-mails that no other customer of the shop has."""

    e164: str
    emails: frozenset[str] = frozenset()

    def matches(self, buyer: Buyer) -> bool:
        """A phone that can be read decides; the e-mail counts only without one."""
        return buyer.email in self.emails if buyer.e164 is None else buyer.e164 == self.e164

    def appears_in(self, text: str) -> bool:
        """Whether a text that is not an event holds one of the e-mails, or the phone's digits."""
        lower = text.lower()
        digits = phonenumbers.normalize_digits_only(text)
        return _distinctive_digits(self.e164) in digits or any(email in lower for email in self.emails)


def _distinctive_digits(e164: str) -> str:
    """The number as it is dialled within its country, so that any spelling is found; a short one, which any text may
    hold, with the country code."""
    national = phonenumbers.national_significant_number(phonenumbers.parse(e164))
    return national if len(national) >= _SHORTEST_NATIONAL else e164.removeprefix("+")


def read_buyer(event: object, *, country: str) -> Buyer:
    """Reads the buyer of an event; takes any JSON value in place of one."""
    facts: dict[str, Any] = event if isinstance(event, dict) else {}
    phone, email, name = (_text(facts.get(field)) for field in ("phone", "email", "customer_name"))
    try:
        order_id = UUID(str(facts.get("order_id")))
    except ValueError:
        order_id = None
    return Buyer(
        order_id=order_id,
        e164=read_phone(phone, country=country).e164,
        email=email.lower() if email else None,
        is_personal=bool(phone or email or name),
    )


def _text(value: object) -> str | None:
    cleaned = clean_text(value)
    return cleaned if isinstance(cleaned, str) else None
