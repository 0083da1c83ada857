"""The filters of the customers' list and file are what Python finds by the same words; a narrow one uses an index."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from regulars.dashboard.queries import customers
from regulars.dashboard.queries.filters import CustomerFilter
from regulars.dashboard.schemas import Shop as ShopRow
from tests.api import Api
from tests.conftest import Database
from tests.owners import Shop
from tests.storefront import add_shop

Row = dict[str, Any]


def _silent(shop: Shop, row: Row) -> int:
    return (shop.day(datetime.now(UTC)) - shop.day(row["last_purchase_at"])).days


_FILTERS: dict[str, tuple[dict[str, str], Callable[[Shop, Row], bool]]] = {
    "spent at least": ({"min_spent": "20"}, lambda _, row: row["total_spent"] >= 20),
    "spent at most": ({"max_spent": "20.50"}, lambda _, row: row["total_spent"] <= Decimal("20.50")),
    "purchases between": (
        {"min_purchases": "2", "max_purchases": "3"},
        lambda _, row: 2 <= row["total_purchases"] <= 3,
    ),
    "silent at least": ({"min_silent_days": "30"}, lambda shop, row: _silent(shop, row) >= 30),
    "silent at most": ({"max_silent_days": "30"}, lambda shop, row: _silent(shop, row) <= 30),
    "bought today or yesterday": (
        {"min_silent_days": "0", "max_silent_days": "1"},
        lambda shop, row: _silent(shop, row) <= 1,
    ),
    "first link": ({"slug": "promo"}, lambda _, row: row["first_source_slug"] == "promo"),
    "last link": ({"last_slug": "flyer"}, lambda _, row: row["last_source_slug"] == "flyer"),
    "no last link": (
        {"last_slug": "unknown"},
        lambda _, row: row["last_source_slug"] in (None, "unknown"),
    ),
    "together": (
        {"min_silent_days": "10", "min_spent": "5", "repeat": "true"},
        lambda shop, row: _silent(shop, row) >= 10 and row["total_spent"] >= 5 and row["repeat_customer"],
    ),
}


@pytest.mark.parametrize("name", list(_FILTERS))
@pytest.mark.parametrize("slug", ["ama-data", "ama-more"])
def test_a_filter_finds_whom_python_finds_in_the_list_and_in_the_file(api: Api, slug: str, name: str) -> None:
    shop = api.owners.shops[slug]
    asked, matches = _FILTERS[name]
    expected = {phone for phone, row in shop.customers().items() if matches(shop, row)}
    answer = api.read("list", shop, limit=200, **asked)
    assert {row["phone_number"] for row in answer["customers"]} == expected
    assert answer["total"] == len(expected)
    file = api.ask("export.csv", shop, **asked).text
    assert set(re.findall(r"'(\+[0-9]+)", file)) == expected


def test_every_filter_leaves_somebody_out_and_most_find_somebody(api: Api) -> None:
    shop = api.owners.shops["ama-data"]
    counts = [sum(matches(shop, row) for row in shop.customers().values()) for _, matches in _FILTERS.values()]
    assert all(count < len(shop.buyers) for count in counts)
    assert sum(count > 0 for count in counts) >= len(counts) - 1


def test_the_last_digits_find_a_phone_and_words_find_a_name_in_any_order(api: Api) -> None:
    shop = api.owners.shops["ama-more"]
    phone = min(shop.buyers)
    with api.database.connect() as connection:
        connection.execute(
            "update regulars.customers set customer_name = 'Ama Serwaa Mensah', email = 'serwaa@shop.example' "
            "where shop_id = %s and phone_number = %s", [shop.shop_id, phone],
        )  # fmt: skip
    for search in (
        phone[-4:], f"{phone[-6:-4]} {phone[-4:]}", "Mensah Ama", "mensah, ama", "ama  SERWAA", "serw mens",
        f"Mensah {phone[-4:]}", "serwaa@ Mensah", f"0{phone[4:10]}",
    ):  # fmt: skip
        found = api.read("list", shop, search=search)["customers"]
        assert phone in {row["phone_number"] for row in found}, search
    for search in ("Mensah Kofi", "98765", "Ama_Mensah", "%"):
        found = api.read("list", shop, search=search)["customers"]
        assert phone not in {row["phone_number"] for row in found}, search


@pytest.mark.parametrize(
    "asked",
    [
        "min_spent=NaN", "min_spent=1e3", "max_spent=-1", "min_spent=1,5", "min_purchases=0", "max_purchases=1.5",
        "min_silent_days=-1", "max_silent_days=99999999", "min_silent_days=x",
    ],
)  # fmt: skip
def test_a_bound_that_cannot_be_read_is_refused_and_not_repeated(api: Api, asked: str) -> None:
    name, value = asked.split("=")
    answer = api.ask("list", api.owners.shops["kofi-data"], **{name: value})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["parameter"] == name
    assert value not in json.dumps(error["detail"]).split("than")[0]


_WORLD = """
    insert into analytics.customers (shop_customer_id, shop_id, first_purchase_at, last_purchase_at,
        first_purchase_month, first_purchase_date, last_purchase_date, total_purchases, purchase_days, total_spent,
        total_profit, average_order_value, repeat_customer)
    select gen_random_uuid(), %(shop)s, now(), now() - make_interval(mins => n), date_trunc('month', now()), now(),
        now(), 1 + n / 1000, 1, n, 1, n, n >= 1000
    from generate_series(1, 20000) as n;
"""


@pytest.mark.parametrize(
    ("asked", "column"),
    [
        ({"min_spent": "19990"}, "total_spent"), ({"max_spent": "10"}, "total_spent"),
        ({"min_purchases": 21}, "total_purchases"), ({"max_silent_days": 0}, "last_purchase_at"),
        ({"min_silent_days": 14}, "last_purchase_at"),
    ],
)  # fmt: skip
def test_a_filter_that_finds_few_reads_an_index_and_not_everybody(
    built: Database, asked: dict[str, Any], column: str
) -> None:
    with built.connect() as connection:
        shop_id = add_shop(connection)
        connection.execute(_WORLD, {"shop": shop_id})
        connection.execute("analyze analytics.customers")
        shop = ShopRow(
            shop_id=shop_id, shop_name="", shop_slug="", country="GH", currency="GHS", time_zone="Africa/Accra"
        )
        wheres, parameters = customers.conditions(shop, CustomerFilter.model_validate(asked))
        condition = " and ".join(where.as_string(connection) for where in wheres)
        query = f"explain (format json) select count(*) from analytics.customers where {condition}"
        (plan,) = connection.execute(query, parameters).fetchone() or ("",)  # type: ignore[arg-type]
    written = json.dumps(plan)
    assert "Seq Scan" not in written
    assert re.search(rf'"Index Cond": "[^"]*{column}', written.replace('\\"', "")), written
