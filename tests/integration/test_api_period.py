"""The numbers of a period, in the API and on the pages, are what Python counts of its days and months."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from regulars.dashboard.queries.periods import PeriodQuery, Span, resolve
from tests.api import Api
from tests.owners import Shop

_ASKED: list[dict[str, str]] = [
    {"period": "7"}, {"period": "30"}, {"period": "90", "against": "year"}, {"period": "month"}, {"period": "year"},
    {"period": "custom", "from": "2026-01-15", "to": "2026-03-20"},
]  # fmt: skip


def _expected(shop: Shop, span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    sales = [order for order in shop.sales if span.first <= shop.day(order.at) <= span.last]
    refunds = [o for o in shop.orders if o.is_refunded and span.first <= shop.day(o.at) <= span.last]
    return {
        "first_day": span.first.isoformat(),
        "last_day": span.last.isoformat(),
        "sales": len(sales),
        "new_customers": sum(span.first <= shop.day(buyer[0].at) <= span.last for buyer in shop.buyers.values()),
        "net_amount": sum((order.total for order in sales), Decimal(0)),
        "profit_amount": sum((order.profit for order in sales), Decimal(0)),
        "refunded_amount": sum((order.total for order in refunds), Decimal(0)),
    }


@pytest.mark.parametrize("asked", _ASKED, ids=lambda asked: "-".join(asked.values()))
@pytest.mark.parametrize("slug", ["ama-data", "ama-more"])
def test_a_periods_numbers_are_what_python_counts(api: Api, slug: str, asked: dict[str, str]) -> None:
    shop = api.owners.shops[slug]
    answer = api.read("period", shop, **asked)
    as_of = shop.day(datetime.fromisoformat(answer["as_of"]))
    period = resolve(PeriodQuery.model_validate(asked), today=as_of)
    assert answer["numbers"] == _expected(shop, period.counted)
    assert answer["compared"] == _expected(shop, period.compared)
    assert period.covered is not None
    days = {day["order_date"]: day["sales"] for day in answer["days"]}
    wanted = [period.covered.first + timedelta(days=number) for number in range(period.covered.days)]
    assert days == {day.isoformat(): sum(shop.day(order.at) == day for order in shop.sales) for day in wanted}


@pytest.mark.parametrize("asked", _ASKED, ids=lambda asked: "-".join(asked.values()))
def test_a_periods_links_are_what_python_counts_of_its_months(api: Api, asked: dict[str, str]) -> None:
    shop = api.owners.shops["ama-data"]
    answer = api.read("period-links", shop, **asked)
    first, last = (date.fromisoformat(answer[name]) for name in ("first_month", "last_month"))
    for row in answer["links"]:
        link = row["link"]
        sales = [o for o in shop.sales if (o.slug or "unknown") == link and first <= shop.month(o.at) <= last]
        brought = [
            buyer
            for buyer in shop.buyers.values()
            if (buyer[0].slug or "unknown") == link and first <= shop.month(buyer[0].at) <= last
        ]
        again = sum(len(buyer) > 1 for buyer in brought)
        worth = sum((order.total for buyer in brought for order in buyer), Decimal(0))
        assert (row["sales"], row["new_customers"], row["came_back_customers"]) == (len(sales), len(brought), again)
        assert row["brought_net_amount"] == worth
        assert row["came_back_rate"] == (round(Decimal(again) / len(brought), 4) if brought else None)
        assert row["net_per_customer"] == (round(worth / len(brought) + Decimal("1e-9"), 2) if brought else None)
    together = sum(row["last_touch_net_amount"] for row in answer["links"])
    assert together == sum(order.total for order in shop.sales if first <= shop.month(order.at) <= last)


def test_a_period_that_cannot_be_read_is_422_and_names_what_is_wrong(api: Api) -> None:
    shop = api.owners.shops["kofi-data"]
    for asked in ({"period": "8"}, {"period": "custom", "from": "2026-01-01"}, {"from": "1.1.2026"}):
        answer = api.ask("period", shop, **asked)
        assert answer.status_code == 422
        assert answer.json()["errors"]
    assert datetime.now(UTC).date().isoformat() not in answer.text
