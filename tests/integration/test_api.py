"""The owners' API on a real server and a real database: its numbers are those that Python counts from the orders."""

import re
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from regulars.dashboard.app import create_app
from tests.api import API, NUMBERS, Api, assert_head, bearer, months_of
from tests.conftest import Database
from tests.owners import Shop, rounded, settings_of
from tests.served import served
from tests.storefront import add_shop, fetch

SHOPS = ["ama-data", "ama-more", "kofi-data"]
SORTS = ["last_purchase", "first_purchase", "total_spent", "total_purchases"]
_SORT_COLUMNS = {
    "last_purchase": "last_purchase_at",
    "first_purchase": "first_purchase_at",
    "total_spent": "total_spent",
    "total_purchases": "total_purchases",
}


@pytest.fixture(params=SHOPS)
def shop(api: Api, request: pytest.FixtureRequest) -> Shop:
    return api.owners.shops[request.param]


def test_the_cards_are_what_python_counts(api: Api, shop: Shop) -> None:
    answer, buyers = api.read("analytics", shop), shop.buyers
    assert_head(answer, shop)
    this = shop.month(datetime.now(UTC))
    previous = (this - timedelta(days=1)).replace(day=1)
    revenue = sum((order.total for sales in buyers.values() for order in sales), Decimal(0))
    repeating = sum(len(sales) > 1 for sales in buyers.values())
    expected = {
        "available_balance": Decimal("19.50"),
        "total_profit": sum((order.profit for order in shop.sales), Decimal(0)),
        "total_orders": len(shop.sales),
        "pending_withdrawals": 1,
        "total_customers": len(buyers),
        "repeat_customers": repeating,
        "repeat_percentage": rounded(Decimal(100 * repeating) / len(buyers), "0.1"),
        "average_ltv": rounded(revenue / len(buyers), "0.01"),
        "total_revenue": revenue,
        "month": this.isoformat(),
    }
    for name, month in (("month", this), ("previous_month", previous)):
        sales = [order for order in shop.sales if shop.month(order.at) == month]
        expected[f"new_customers_{name}"] = sum(shop.month(s[0].at) == month for s in buyers.values())
        expected[f"active_customers_{name}"] = len({order.phone for order in sales})
        expected[f"revenue_{name}"] = sum((order.total for order in sales), Decimal(0))
        expected[f"sales_{name}"] = len(sales)
    assert {name: answer[name] for name in expected} == expected
    assert set(answer) == {*expected, "success", "shop_id", "currency", "time_zone", "as_of", "stale"}


def test_acquisition_is_what_python_counts(api: Api, shop: Shop) -> None:
    cohorts = {phone: shop.month(sales[0].at) for phone, sales in shop.buyers.items()}
    acquisition = []
    for month in months_of(shop):
        sales = [order for order in shop.sales if shop.month(order.at) == month]
        active = {order.phone for order in sales}
        new = sum(cohorts[phone] == month for phone in active)
        acquisition.append(
            {
                "month": month.isoformat(),
                "new_customers": new,
                "returning_customers": len(active) - new,
                "active_customers": len(active),
                "sales": len(sales),
                "net_amount": sum((order.total for order in sales), Decimal(0)),
            }
        )
    answer = api.read("acquisition", shop)
    assert_head(answer, shop)
    assert answer["months"] == acquisition


def test_cohorts_are_what_python_counts_and_end_with_the_months_that_have_come(api: Api, shop: Shop) -> None:
    cohorts: dict[date, set[str]] = defaultdict(set)
    for phone, sales in shop.buyers.items():
        cohorts[shop.month(sales[0].at)].add(phone)
    months = months_of(shop)
    expected = []
    for cohort, phones in sorted(cohorts.items()):
        for since, month in enumerate(months[months.index(cohort) :]):
            sales = [order for order in shop.sales if order.phone in phones and shop.month(order.at) == month]
            active = len({order.phone for order in sales})
            expected.append(
                {
                    "cohort_month": cohort.isoformat(),
                    "months_since": since,
                    "cohort_size": len(phones),
                    "active_customers": active,
                    "retention_rate": rounded(Decimal(active) / len(phones), "0.0001"),
                    "net_amount": sum((order.total for order in sales), Decimal(0)),
                }
            )
    assert api.read("cohorts", shop)["cohorts"] == expected


def test_links_are_what_python_counts(api: Api, shop: Shop) -> None:
    visits = Counter(shop.empty_visits)
    visits.update(order.slug or "unknown" for order in shop.orders if order.has_visit)
    found = {row["slug"]: row for row in api.read("slug-analytics", shop)["slugs"]}
    slugs = {order.slug or "unknown" for order in shop.sales} | set(visits)
    assert set(found) == slugs
    for slug in slugs:
        sales = [order for order in shop.sales if (order.slug or "unknown") == slug]
        converted = sum(order.has_visit for order in sales)
        assert found[slug] == {
            "slug": slug,
            "visits": visits[slug],
            "converted_visits": converted,
            "sales": len(sales),
            "customers": len({order.phone for order in sales}),
            "new_customers": sum((buyer[0].slug or "unknown") == slug for buyer in shop.buyers.values()),
            "net_amount": sum((order.total for order in sales), Decimal(0)),
            "conversion_rate": rounded(Decimal(converted) / visits[slug], "0.0001") if visits[slug] else None,
        }


def _walk(api: Api, shop: Shop, **parameters: object) -> list[dict[str, Any]]:
    """Every customer, page by page by cursor."""
    rows: list[dict[str, Any]] = []
    page = api.read("list", shop, **parameters)
    while True:
        rows += page["customers"]
        if page["next_cursor"] is None:
            return rows
        assert len(page["customers"]) == page["limit"]
        page = api.read("list", shop, **parameters, cursor=page["next_cursor"])


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: datetime.fromisoformat(row[name]) for name in ("first_purchase_at", "last_purchase_at")}


def test_the_list_has_each_customer_as_python_counts_them(api: Api, shop: Shop) -> None:
    found = {row["phone_number"]: _plain(row) for row in _walk(api, shop, limit=200)}
    expected = shop.customers()
    assert found.keys() == expected.keys()
    for phone, customer in expected.items():
        assert found[phone] == customer | dict.fromkeys(("customer_id", "id"), found[phone]["customer_id"])


@pytest.mark.parametrize("direction", ["", "-"])
@pytest.mark.parametrize("sort", SORTS)
def test_every_sort_walks_all_customers_once_by_cursor_as_by_offset(api: Api, sort: str, direction: str) -> None:
    shop = api.owners.shops["ama-data"]
    asked = {"sort": f"{direction}{sort}", "limit": 5}
    walked = _walk(api, shop, **asked)
    total = len(shop.buyers)
    paged = [
        row for offset in range(0, total + 5, 5) for row in api.read("list", shop, **asked, offset=offset)["customers"]
    ]
    assert walked == paged
    assert len({row["customer_id"] for row in walked}) == len(walked) == total
    keys = [(_plain(row)[_SORT_COLUMNS[sort]], row["customer_id"]) for row in walked]
    assert keys == sorted(keys, reverse=direction == "-")
    # There must be ties, or the test could not see a tied customer lost.
    assert len({key for key, _ in keys}) < total


def test_filters_find_what_python_finds_and_say_how_many(api: Api, shop: Shop) -> None:
    customers = shop.customers().values()
    for parameters, wanted in (
        ({}, lambda _: True),
        ({"repeat": "true"}, lambda row: row["repeat_customer"]),
        ({"repeat": "false"}, lambda row: not row["repeat_customer"]),
        ({"slug": "promo"}, lambda row: row["first_source_slug"] == "promo"),
        ({"slug": "unknown"}, lambda row: row["first_source_slug"] in (None, "unknown")),
        ({"network": "MTN"}, lambda row: row["preferred_network"] == "MTN"),
        (
            {"network": "MTN", "repeat": "true"},
            lambda row: row["preferred_network"] == "MTN" and row["repeat_customer"],
        ),
        ({"search": "esi"}, lambda row: "esi" in row["customer_name"].lower()),
        ({"search": "ÁKUA"}, lambda row: "ákua" in row["customer_name"].lower()),
        ({"search": " @kofi-data.example "}, lambda row: "@kofi-data.example" in (row["email"] or "")),
        ({"search": "100%"}, lambda row: "100%" in row["customer_name"]),
        ({"search": "i_m"}, lambda row: "i_m" in row["customer_name"].lower()),
        ({"search": "\\"}, lambda _: False),
        ({"search": "' or 1=1 --"}, lambda _: False),
        ({"search": "<b>Abena</b>"}, lambda row: "<b>abena</b>" in row["customer_name"].lower()),
        ({"search": ""}, lambda _: True),
    ):
        expected = {row["phone_number"] for row in customers if wanted(row)}
        found = [row["phone_number"] for row in _walk(api, shop, **parameters, limit=7)]
        assert len(found) == len(expected)
        assert set(found) == expected
        assert api.read("list", shop, **parameters)["total"] == len(expected)


@pytest.mark.parametrize(
    "spelling",
    ["0241000002", "024 100 0002", "+233 24-100-0002", "00233241000002", "241000002", "０２４１０００００２"],
)
def test_a_phone_is_found_however_it_is_spelt_and_only_in_the_shop(api: Api, spelling: str) -> None:
    for shop in api.owners.shops.values():
        page = api.read("list", shop, search=spelling)
        bought = "+233241000002" in shop.buyers
        assert [row["phone_number"] for row in page["customers"]] == ["+233241000002"] * bought
        assert page["total"] == bought


def test_a_history_is_every_order_of_the_customer_and_the_visits_that_brought_them(api: Api) -> None:
    shop = api.owners.shops["ama-data"]
    for row in api.read("list", shop, limit=200)["customers"]:
        answer = api.read(f"{row['customer_id']}/history", shop)
        assert answer["customer"] == row
        orders = [order for order in shop.orders if order.phone == row["phone_number"]]
        told = [(datetime.fromisoformat(order["ordered_at"]), order["order_id"]) for order in answer["orders"]]
        assert told == sorted(((order.at, str(order.order_id)) for order in orders), reverse=True)
        by_id = {str(order.order_id): order for order in orders}
        for order in answer["orders"]:
            raw = by_id[order["order_id"]]
            assert (order["is_sale"], order["order_status"]) == (raw.is_sale, raw.order_status)
            assert order["net_amount"] == (raw.total if raw.is_sale else 0)
            assert order["slug"] == raw.slug
        brought = {visit["order_id"]: visit["slug"] for visit in answer["tracking"]}
        assert brought == {str(order.order_id): order.slug for order in orders if order.has_visit}


def test_amounts_are_exact_numbers_with_their_cents(api: Api) -> None:
    shop = api.owners.shops["ama-data"]
    for path in {*NUMBERS, "list"} - {"repeat-rates", "movement", "at-risk", "forecast"}:
        text = api.ask(path, shop).text
        amounts = re.findall(
            r'"(?:\w+_amount|net_per_\w+|total_spent|total_profit|\w+_ltv|total_revenue|revenue_\w+)":(?!null)([^,}]+)',
            text,
        )
        assert amounts, path
        assert all(re.fullmatch(r"-?\d+\.\d\d", amount) for amount in amounts), path


def test_a_response_that_has_not_changed_is_304(api: Api) -> None:
    shop = api.owners.shops["ama-data"]
    headers = bearer(api.settings, shop.user_id)
    for path in (*NUMBERS, "list"):
        url = f"{API}/{path}?shop=ama-data"
        first = api.client.get(url, headers=headers)
        etag = first.headers["etag"]
        assert first.headers["cache-control"] == "private, no-cache"
        assert first.headers["vary"].split(", ")[0] == "Authorization"
        again = api.client.get(url, headers=headers | {"If-None-Match": f'"x", {etag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        other = api.client.get(f"{API}/{path}?shop=ama-more", headers=headers | {"If-None-Match": etag})
        assert other.status_code == 200


@pytest.mark.parametrize(
    ("path", "parameters", "parameter"),
    [
        ("list", {"limit": value}, "limit") for value in ("-1", "0", "NaN", "1e2", "5.0", "٣", "")
    ] + [
        ("list", {"offset": value}, "offset") for value in ("-1", "NaN", "1000001", "99999999999999999999")
    ] + [
        ("list", {"sort": "phone'; drop table x --"}, "sort"),
        ("list", {"repeat": "perhaps-0241"}, "repeat"),
        ("list", {"search": "x" * 101}, "search"),
        ("list", {"search": "\0"}, "search"),
        ("list", {"cursor": "Z2FyYmFnZQ"}, "cursor"),
        ("list", {"cursor": "WyItbGFzdF9wdXJjaGFzZSIsIm5vdyIsIngiXQ"}, "cursor"),
        ("list", {"cursor": "é"}, "cursor"),
        ("list", {"cursor": "x", "offset": "5"}, "cursor"),
        ("links", {"phone-0241": "1"}, "?"),
        ("export.csv", {"limit": "5"}, "?"),
        ("not-an-id/history", {}, "customer_id"),
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_read_is_named_and_its_value_is_not_repeated(
    api: Api, path: str, parameters: dict[str, str], parameter: str
) -> None:
    answer = api.ask(path, api.owners.shops["ama-data"], **parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]
    for value in (*parameters.values(), "0241", "not-an-id"):
        assert len(value) < 4 or value not in answer.text


def test_a_cursor_of_another_sort_is_refused(api: Api) -> None:
    shop = api.owners.shops["ama-data"]
    cursor = api.read("list", shop, limit=1, sort="total_spent")["next_cursor"]
    for sort in ("-total_spent", "total_purchases"):
        assert api.ask("list", shop, limit=1, sort=sort, cursor=cursor).json()["errors"][0]["parameter"] == "cursor"


def test_the_numbers_of_a_shop_that_no_refresh_has_counted_are_null(api: Api, migrated: Database) -> None:
    """Whether the shop is newer than the last refresh, or there has been none."""
    for database in (api.database, migrated):
        with database.connect() as connection:
            shop_id = add_shop(connection, "new-shop")
            ((owner,),) = fetch(connection, "select user_id from user_shops where id = %s", shop_id)
        settings = settings_of(database)
        with served(create_app(settings), headers=bearer(settings, owner)) as client:
            cards = client.get(f"{API}/analytics").json()
            assert (cards["as_of"], cards["stale"], cards["currency"]) == (None, True, "GHS")
            known = {"success", "shop_id", "currency", "time_zone", "as_of", "stale"}
            assert {name for name, value in cards.items() if value is not None} == known - {"as_of"}
            page = client.get(f"{API}/list").json()
            assert (page["customers"], page["total"], page["as_of"]) == ([], None, None)
            for path in NUMBERS:
                answer = client.get(f"{API}/{path}").json()
                assert (answer["as_of"], answer["stale"]) == (None, True)
            assert client.get(f"{API}/export.csv").status_code == 503
            assert client.get(f"{API}/{uuid4()}/history").status_code == 503


def test_numbers_that_are_too_old_are_marked_stale(api: Api) -> None:
    shop = api.owners.shops["kofi-data"]
    with api.database.connect() as connection:
        connection.execute("update regulars.refreshes set as_of = as_of - interval '27 hours'")
        try:
            before = api.ask("analytics", shop)
            assert before.json()["stale"] is True
            assert before.json()["total_customers"] == len(shop.buyers)
        finally:
            connection.execute("update regulars.refreshes set as_of = as_of + interval '27 hours'")
    assert api.read("analytics", shop)["stale"] is False
