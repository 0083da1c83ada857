"""The three routes that stand in place of the storefront's own: its pages' names and habits, and pages elsewhere."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.spool.file import Spool
from ingest.storage.errors import SettingError
from ingest.storage.settings import Settings
from regulars.dashboard.app import create_app
from regulars.dashboard.queries.filters import MAX_LIMIT
from tests.api import API, NUMBERS, Api, bearer
from tests.conftest import NAME, Server
from tests.owners import Order, Shop, copy_of, rounded, settings_of, two_owners
from tests.person import erased
from tests.programs import find_program
from tests.served import served

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = _ROOT / "tests" / "storefront_page.mjs"
_ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def api(server: Server, built_template: str) -> Iterator[Api]:
    """With one origin that may read it, and with one customer erased since the last refresh."""
    owners = two_owners(server, built_template)
    with copy_of(server, owners, name=f"{NAME}_storefront") as database:
        settings = settings_of(database, cors_origins=(_ORIGIN, "http://127.0.0.1:3000"))
        with served(create_app(settings), headers={}) as client:
            yield Api(owners, database, settings, client)


@pytest.fixture
def shop(api: Api) -> Shop:
    return api.owners.shops["ama-data"]


@pytest.fixture(scope="module")
def node() -> str:
    return find_program("node", package="nodejs")


def test_an_order_has_the_storefronts_names_beside_ours(api: Api, shop: Shop) -> None:
    raw = {str(order.order_id): order for order in shop.orders}
    seen = 0
    for customer in api.read("list", shop, limit=200)["customers"]:
        assert customer["id"] == customer["customer_id"]
        for order in api.read(f"{customer['id']}/history", shop)["orders"]:
            as_ordered = raw[order["id"]]
            assert order["order_id"] == order["id"]
            assert order["created_at"] == order["ordered_at"]
            assert order["reference_code"] == as_ordered.reference_code
            # Whatever became of it: what was not paid has a price too, and no worth.
            assert order["total_price"] == as_ordered.total
            assert (order["gross_amount"] > 0) == (as_ordered.is_sale or as_ordered.is_refunded)
            assert (order["volume_gb"], order["network"]) == (2, as_ordered.network)
            seen += 1
    assert seen > 60


@pytest.mark.parametrize("limit", ["201", "1000", "1000000000", "0" * 5000 + "201", "9" * 5000])
def test_a_limit_above_ours_is_ours(api: Api, shop: Shop, limit: str) -> None:
    answer = api.read("list", shop, limit=limit)
    assert (answer["limit"], len(answer["customers"])) == (MAX_LIMIT, len(shop.buyers))
    assert api.read("list", shop, limit="007")["limit"] == 7


def test_an_unknown_parameter_is_ignored_where_the_storefronts_pages_ask(api: Api, shop: Shop) -> None:
    listed = api.read("list", shop)
    customer_id = listed["customers"][0]["id"]
    for path in ("analytics", "list", f"{customer_id}/history"):
        assert api.read(path, shop, page="2", sortBy="total_spent") == api.read(path, shop)
    for path in (*NUMBERS[1:], "export.csv"):
        assert api.ask(path, shop, page="2").status_code == 422, path


@pytest.mark.parametrize("path", [*NUMBERS, "list", "export.csv", "{customer}/history"])
def test_a_parameter_that_is_given_twice_is_refused(api: Api, shop: Shop, path: str) -> None:
    customer_id = api.read("list", shop, limit=1)["customers"][0]["id"]
    url = f"{API}/{path.format(customer=customer_id)}"
    headers = bearer(api.settings, shop.user_id)
    for query, parameter in (
        ("shop=ama-data&shop=ama-data", "shop"),
        ("shop=ama-data&shop=", "shop"),
        ("shop=ama-data&phone0241=1&phone0241=2", "?"),
    ):
        answer = api.client.get(f"{url}?{query}", headers=headers)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"parameter": parameter, "detail": "is given more than once"}]
        assert "0241" not in answer.text


@pytest.mark.parametrize("path", ["list", "export.csv"])
def test_a_filter_that_is_given_twice_drops_no_filter(api: Api, shop: Shop, path: str) -> None:
    answer = api.client.get(
        f"{API}/{path}?shop=ama-data&repeat=true&repeat=", headers=bearer(api.settings, shop.user_id)
    )
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "repeat")


def test_a_page_refuses_a_parameter_that_is_given_twice(api: Api) -> None:
    answer = api.client.get("/customers.csv?repeat=true&repeat=")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")


# What a browser asks before it sends a token to another origin.
_PREFLIGHT = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


def test_pages_of_a_named_origin_may_read_the_api(api: Api, shop: Shop) -> None:
    asked = api.client.options(f"{API}/list", headers={"Origin": _ORIGIN} | _PREFLIGHT)
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, _ORIGIN)
    assert asked.headers["access-control-allow-methods"] == "GET"
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    for path, status in (("list", 200), ("list?limit=0", 422)):
        answer = api.client.get(
            f"{API}/{path}", params={"shop": shop.slug} if status == 200 else None,
            headers={"Origin": _ORIGIN} | bearer(api.settings, shop.user_id),
        )  # fmt: skip
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, _ORIGIN)
        assert "Origin" in answer.headers["vary"]
        # No cookie: a page of another origin can't use an owner's session.
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "https://shop.example.evil.example", "https://shop.example:8443", "http://shop.example",
     "https://a.shop.example", "https://shop.example/", "null", "*"],
)  # fmt: skip
def test_pages_of_other_origins_may_not(api: Api, shop: Shop, origin: str) -> None:
    asked = api.client.options(f"{API}/list", headers={"Origin": origin} | _PREFLIGHT)
    token = bearer(api.settings, shop.user_id)
    answer = api.client.get(f"{API}/list?shop={shop.slug}", headers={"Origin": origin} | token)
    assert answer.status_code == 200
    for each in (asked, answer):
        assert "access-control-allow-origin" not in each.headers


def test_no_origin_may_write_or_read_the_owners_pages(api: Api) -> None:
    for method in ("POST", "PUT", "DELETE"):
        headers = {"Origin": _ORIGIN} | _PREFLIGHT | {"Access-Control-Request-Method": method}
        assert api.client.options(f"{API}/list", headers=headers).status_code == 400
    for path in ("/", "/customers", "/sign-in", "/static/regulars.css", "/healthz"):
        assert "access-control-allow-origin" not in api.client.get(path, headers={"Origin": _ORIGIN}).headers, path


def test_without_the_setting_no_origin_may_read_anything(api: Api, shop: Shop) -> None:
    settings = api.settings.model_copy(update={"cors_origins": ()})
    with served(create_app(settings), headers={"Origin": _ORIGIN}) as client:
        assert client.options(f"{API}/list", headers=_PREFLIGHT).status_code == 405
        answer = client.get(f"{API}/list?shop={shop.slug}", headers=bearer(settings, shop.user_id))
        assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (200, False)


def test_the_setting_takes_exact_origins_only() -> None:
    def origins(text: str) -> tuple[str, ...]:
        return Settings.from_environment({"REGULARS_CORS_ORIGINS": text}).cors_origins

    assert origins("https://shop.example, http://127.0.0.1:3000,http://[::1]:3000") == (
        "https://shop.example", "http://127.0.0.1:3000", "http://[::1]:3000",
    )  # fmt: skip
    assert Settings.from_environment({}).cors_origins == ()
    for wrong in (
        "*", "https://*.shop.example", "https://shop.example/", "shop.example", "null", "https://Shop.example",
        "https://shop.example:443", "http://shop.example:80", "https://ama@shop.example", "https://shop.example,*",
    ):  # fmt: skip
        with pytest.raises(SettingError, match="REGULARS_CORS_ORIGINS: an origin is a scheme and a host"):
            origins(wrong)


# What the storefront's pages read of a customer and of an order.
_OF_CUSTOMERS = {
    "id", "phone_number", "customer_name", "email", "first_purchase_at", "last_purchase_at", "total_purchases",
    "total_spent", "repeat_customer", "first_source_slug",
}  # fmt: skip
_OF_ORDERS = {
    "id", "reference_code", "network", "volume_gb", "total_price", "order_status", "payment_status", "created_at",
}  # fmt: skip


def test_the_storefronts_expressions_show_our_numbers_and_guard_what_the_documents_say(
    api: Api, shop: Shop, node: str, spool: Spool
) -> None:
    people = shop.customers()
    gone = max(people, key=lambda phone: (people[phone]["total_purchases"], phone))
    with api.database.connect() as connection:
        erased(connection, spool, shop=shop.slug, phone=gone)
    people[gone] |= {"phone_number": None, "email": None, "customer_name": None}

    texts = {"analytics": api.ask("analytics", shop).text, "list": api.ask("list", shop, limit=1000).text}
    listed = json.loads(texts["list"])["customers"]
    histories = [api.ask(f"{customer['id']}/history", shop).text for customer in listed]
    texts["histories"] = f"[{','.join(histories)}]"
    shown = _run(node, "{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}")

    phones = [row["phone_number"] or gone for row in listed]
    rows = [_shown(people[phone], customer_id=row["id"]) for phone, row in zip(phones, listed, strict=True)]
    repeat = sum(one["repeat_customer"] for one in people.values())
    spent = _money(sum((one["total_spent"] for one in people.values()), Decimal(0)))
    assert shown["customers"] == rows
    assert (shown["repeat"], shown["spent"], shown["pages"]) == (repeat, spent, 1)
    assert shown["cards"][4] == str(len(people))
    assert shown["cards"][5] == f"{repeat} ({rounded(Decimal(100 * repeat) / len(people), '0.1')}%)"
    assert shown["cards"][8] == spent
    assert shown["histories"] == [
        [row, [_shown_order(order) for order in _placed(shop, phone)]] for phone, row in zip(phones, rows, strict=True)
    ]
    assert not re.search(r"undefined|NaN|null", json.dumps(shown))

    orders = [order for text in histories for order in json.loads(text)["orders"]]
    nulls = {f"customers[].{name}" for row in listed for name in _OF_CUSTOMERS if row[name] is None}
    nulls |= {f"orders[].{name}" for order in orders for name in _OF_ORDERS if order[name] is None}
    assert {"customers[].phone_number", "customers[].customer_name", "customers[].email"} < nulls
    documents = (_ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert nulls <= set(re.findall(r"^\| `((?:customers|orders)\[\]\.\w+)`", documents, re.MULTILINE))


def test_the_rewrite_in_the_documents_puts_the_three_routes_in_place(node: str) -> None:
    documents = (_ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    (configuration,) = re.findall(r"```js\n(.*?)```", documents, re.DOTALL)
    told = "module.exports.rewrites().then((made) => console.log(JSON.stringify(made)))"
    ran = subprocess.run(
        [node, "-e", configuration + told],
        env=os.environ | {"REGULARS_URL": "http://127.0.0.1:8086"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    paths = [f"{API}/{path}" for path in ("analytics", "list", ":id/history")]
    assert json.loads(ran.stdout) == {
        "beforeFiles": [{"source": path, "destination": f"http://127.0.0.1:8086{path}"} for path in paths]
    }


def _run(node: str, responses: str) -> Any:
    """What the storefront's page shows of these responses."""
    ran = subprocess.run([node, str(_PAGE)], input=responses, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def _money(amount: Decimal) -> str:
    return f"GHS {amount:.2f}"


def _placed(shop: Shop, phone: str) -> list[Order]:
    """The customer's orders, the newest first."""
    placed = (order for order in shop.orders if order.phone == phone)
    return sorted(placed, key=lambda order: (order.at, str(order.order_id)), reverse=True)


def _shown(customer: dict[str, Any], *, customer_id: str) -> list[str]:
    name, phone = customer["customer_name"] or "Unknown", customer["phone_number"]
    count = customer["total_purchases"]
    return [
        customer_id,
        "".join(word[0] for word in name.split(" ")).upper(),
        name,
        f"…{phone[-4:]}" if phone else "—",
        customer["email"] or "—",
        f"{count} order{'s' if count > 1 else ''}",
        _money(customer["total_spent"]),
        "Repeat" if customer["repeat_customer"] else "New",
        customer["first_source_slug"] or "Direct",
        f"{customer['first_purchase_at']:%Y-%m-%d}",
        f"{customer['last_purchase_at']:%Y-%m-%d}",
    ]


def _shown_order(order: Order) -> list[str]:
    return [
        str(order.order_id),
        order.reference_code.upper(),
        f"{order.network or '—'} 2GB",
        _money(order.total),
        order.order_status.capitalize(),
        "Paid" if order.payment_status == "completed" else "Not paid",
        f"{order.at:%Y-%m-%d}",
    ]
