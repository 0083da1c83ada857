"""What an event tells about its buyer, and whether that is a given person."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ingest.checkout import clean_text
from ingest.phone import read_phone


@dataclass(frozen=True, slots=True)
class Told:
    """`e164` is None where the phone can't be read; `is_personal` where a phone, e-mail or name is there at all."""

    order_id: UUID | None
    e164: str | None
    email: str | None
    is_personal: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """A person's phone, and the e-mails that no other customer of the shop has."""

    e164: str
    emails: frozenset[str] = frozenset()

    def is_of(self, told: Told) -> bool:
        """A phone that can be read decides; only without one does the e-mail."""
        return told.email in self.emails if told.e164 is None else told.e164 == self.e164

    def is_in(self, text: str) -> bool:
        """Whether the digits of the phone, without its country's, or an e-mail stand in what is no event."""
        lower = text.lower()
        return self.e164[-9:] in "".join(filter(str.isdigit, text)) or any(email in lower for email in self.emails)


def told_by(event: object, *, country: str) -> Told:
    """Takes whatever stands in the place of an event."""
    facts: dict[str, Any] = event if isinstance(event, dict) else {}
    phone, email, name = (_text(facts.get(field)) for field in ("phone", "email", "customer_name"))
    try:
        order_id = UUID(str(facts.get("order_id")))
    except ValueError:
        order_id = None
    return Told(
        order_id=order_id,
        e164=read_phone(phone, country=country).e164,
        email=email.lower() if email else None,
        is_personal=bool(phone or email or name),
    )


def _text(value: object) -> str | None:
    cleaned = clean_text(value)
    return cleaned if isinstance(cleaned, str) else None
