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
