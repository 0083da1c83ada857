"""Segments and who is at risk, in the API and on their page: what Python counts by each customer's own rhythm."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Any

import pytest

from regulars.dashboard.app import create_app
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import Keys
from tests.api import Api, assert_head
from tests.owners import Order, Shop, rounded
from tests.pages import Seen
from tests.served import served


@pytest.fixture(params=["ama-data", "ama-more", "kofi-data"])
def shop(api: Api, request: pytest.FixtureRequest) -> Shop:
    return api.owners.shops[request.param]


def _gaps(shop: Shop, sales: list[Order]) -> list[int]:
    days = sorted({shop.day(order.at) for order in sales})
    return [(after - before).days for before, after in pairwise(days)]


def _rhythms(shop: Shop) -> dict[str, dict[str, Any]]:
    """Phone → state, what they were worth a month, and since when they are at risk."""
    of_shop = median(gap for sales in shop.buyers.values() for gap in _gaps(shop, sales))
    today, found = shop.day(datetime.now(UTC)), {}
    for phone, sales in shop.buyers.items():
        own = _gaps(shop, sales)
        gap = median(own) if len(sales) >= 3 and own else of_shop
        first, last = shop.day(sales[0].at), shop.day(sales[-1].at)
        due, at_risk, lapsed = (last + timedelta(days=ceil(gap * times)) for times in (1, 2, 4))
        states = ((lapsed, "lapsed"), (at_risk, "at risk"), (due, "due"))
        spent = sum((order.total for order in sales), Decimal(0))
        found[phone] = {
            "state": next((state for since, state in states if today >= since), "active"),
            "net_per_month": rounded(spent * 30 / (due - first).days, "0.01"),
            "at_risk_from": at_risk.isoformat(),
        }
    return found


def test_customers_at_risk_and_their_worth_are_what_python_counts(api: Api, shop: Shop) -> None:
    rhythms = _rhythms(shop)
    late = {phone: row for phone, row in rhythms.items() if row["state"] == "at risk"}
    answer = api.read("at-risk", shop, limit=200)
    assert_head(answer, shop)
    found = {row["phone_number"]: row for row in answer["customers"]}
    assert found.keys() == late.keys()
    for phone, row in late.items():
        assert {name: found[phone][name] for name in ("net_per_month", "at_risk_from")} == {
            name: row[name] for name in ("net_per_month", "at_risk_from")
        }
        assert f"{found[phone]['days_since']} days ago" in found[phone]["reason"]
    worth = [row["net_per_month"] for row in answer["customers"]]
    assert worth == sorted(worth, reverse=True)
    assert len(api.read("at-risk", shop, limit=1)["customers"]) == min(1, len(late))


def test_states_are_what_python_counts_and_without_fifty_customers_there_is_no_segment(api: Api, shop: Shop) -> None:
    answer = api.read("segments", shop)
    assert_head(answer, shop)
    states = Counter(row["state"] for row in _rhythms(shop).values())
    assert {row["state"]: row["customers"] for row in answer["states"]} == states
    assert [row["state"] for row in answer["states"]] == [
        s for s in ("active", "due", "at risk", "lapsed") if states[s]
    ]
    assert (answer["has_segments"], answer["segments"]) == (False, [])
    assert answer["reason"] == f"fewer than 50 customers: {len(shop.buyers)}"
    with served(create_app(api.settings), headers={}) as client:
        client.cookies.set(COOKIE, Keys(api.settings).session(str(shop.user_id)))
        page = Seen(client.get("/segments", params={"shop": shop.slug}).text)
    assert f"There are no segments yet: {answer['reason']}." in page.text
    late = states["at risk"]
    assert (f"{late} customer" if late else "Nobody is at risk.") in page.text
    assert sum(lead.startswith("/customers/") for lead in page.leads) == late
