"""Whether an event is a person's: a readable phone decides, and the e-mail only without one."""

from typing import Any
from uuid import UUID

import pytest

from ingest.privacy.identity import Identity, read_buyer

EFUA = Identity("+233245550123", frozenset({"efua@example.org"}))


@pytest.mark.parametrize(
    ("event", "is_theirs"),
    [
        ({"phone": "024 555 0123"}, True),
        ({"phone": "024 555 0123", "email": "kojo@example.org"}, True),
        ({"phone": "0203334444", "email": "efua@example.org"}, False),
        ({"phone": "024 555 01", "email": " Efua@Example.ORG "}, True),
        ({"phone": None, "email": "efua@example.org"}, True),
        ({"phone": "024 555 01", "email": "kojo@example.org"}, False),
        ({"phone": "024 555 01"}, False),
        ({"email": ["efua@example.org"]}, False),
        ("efua@example.org", False),
        (None, False),
    ],
)
def test_a_readable_phone_decides_and_the_email_only_without_one(event: object, is_theirs: bool) -> None:
    assert EFUA.matches(read_buyer(event, country="GH")) is is_theirs


@pytest.mark.parametrize(
    ("e164", "text", "is_there"),
    [
        ("+233245550123", "half an entry: 024-555 0123", True),
        ("+233245550123", "０２４５５５０１２３", True),
        ("+233245550123", "024 555 0124", False),
        # Eight digits in Togo, ten in the United States; in Italy the 0 belongs to the number.
        ("+22890123456", "tel 90 12 34 56", True),
        ("+22890123456", "tel 91 12 34 56", False),
        ("+12135550123", "(213) 555-0123", True),
        ("+12135550123", "(313) 555-0123", False),
        ("+390612345678", "06 1234 5678", True),
        ("+390612345678", "16 1234 5678", False),
        # Five digits may be anything.
        ("+29022158", "order 22158", False),
        ("+29022158", "+290 22158", True),
    ],
)
def test_a_phone_is_found_in_a_text_by_the_digits_that_are_dialled_in_its_country(
    e164: str, text: str, is_there: bool
) -> None:
    assert Identity(e164).appears_in(text) is is_there


@pytest.mark.parametrize(
    ("facts", "is_personal"),
    [
        ({}, False),
        ({"phone": " "}, False),
        ({"email": "a@b"}, True),
        ({"customer_name": "A"}, True),
        ({"phone": "1"}, True),
    ],
)
def test_an_event_is_personal_if_it_holds_a_phone_an_email_or_a_name(facts: dict[str, Any], is_personal: bool) -> None:
    order = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    buyer = read_buyer({"order_id": order, "slug": "promo"} | facts, country="GH")
    assert (buyer.order_id, buyer.is_personal) == (UUID(order), is_personal)
