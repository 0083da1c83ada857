"""No text is cut off or overlaps other text, at any width: computed from layout boxes, with the hardest shops."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext

from flows.steps import run_refresh
from ingest.storage.connections import Connection
from regulars.dashboard.app import create_app
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import Keys
from tests.conftest import NAME, Server
from tests.owners import settings_of
from tests.pages import FIGURES, HOSTILE
from tests.served import served
from tests.storefront import add_shop

_FAULTS = Path(__file__).with_name("layout.js").read_text()
_WIDTHS = (390, 768, 1280)
_SHOPS = ("hostile", "single", "none")
_PATHS = (
    "/", "/?period=7", "/?period=year&against=year", "/?period=custom&from=2024-02-01&to=2024-03-31", "/customers",
    "/customers?search=nobody", "/customers?min_spent=1&segment=champions", "/retention", "/links?period=year",
    "/segments", "/forecast",
)  # fmt: skip

_NAMES = (
    f"name {HOSTILE}", "W" * 60, "Nana Yaa Asantewaa Konadu Agyeman-Rawlings of the Very Long Family Name",
    "متجر أم أحمد", "i" * 90, "Ama", "=HYPERLINK(\"http://x\")",
)  # fmt: skip

# Sixty links over five years: some customers come every month, others once.
_ORDERS = """
    insert into shop_orders (id, shop_id, customer_name, customer_email, customer_phone, network, volume_gb, base_price,
        profit_amount, total_price, order_status, payment_status, created_at)
    select gen_random_uuid(), %(shop)s, (%(names)s::text[])[1 + n %% 7],
        case when n %% 3 = 0 then repeat('longlocalpart', 4) || n || '@example.com' end,
        '024' || lpad((1000000 + n %% 150)::text, 7, '0'),
        case when n %% 5 = 0 then repeat('Net', 20) else 'MTN' end, 2,
        900000, 99999.99, 999999.99, case when n %% 11 = 0 then 'refunded' else 'completed' end, 'completed',
        %(now)s - interval '1 hour' - make_interval(hours => (n * 29) %% 43800)
    from generate_series(1, 1500) as n
"""
_TRACKING = """
    insert into regulars.tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at, referrer, utm_source,
        utm_medium, utm_campaign)
    select shop_id, id, 'link-' || repeat('very-long-', 6) || (row_number() over (order by id)) %% 60, created_at,
        'https://example.com/' || repeat('path/', 30), repeat('source', 8), repeat('medium', 8), repeat('campaign', 8)
    from shop_orders where shop_id = %(shop)s
"""
_ONE = """
    insert into shop_orders (id, shop_id, customer_name, customer_phone, network, volume_gb, base_price, profit_amount,
        total_price, order_status, payment_status, created_at)
    values (gen_random_uuid(), %(shop)s, 'Ama', '0241234567', 'MTN', 1, 4, 1, 5, 'completed', 'completed',
        %(now)s - interval '1 hour')
"""


@dataclass(frozen=True, slots=True)
class Shops:
    address: str
    sessions: dict[str, str]
    customers: dict[str, str]


@pytest.fixture(scope="module")
def shops(server: Server, built_template: str) -> Iterator[Shops]:
    owners = {shop: uuid4() for shop in _SHOPS}
    database = server.create(NAME, template=built_template)
    with database.connect() as connection:
        for shop, owner in owners.items():
            _write(connection, shop, owner)
        run_refresh(database.settings)
        customers = dict(
            connection.execute(
                "select shops.shop_slug, min(customers.shop_customer_id::text) from analytics.customers as customers "
                "inner join user_shops as shops on customers.shop_id = shops.id group by shops.shop_slug"
            ).fetchall()
        )
    settings = settings_of(database, dashboard_connections=8)
    with served(create_app(settings), headers={}) as client:
        keys = Keys(settings)
        sessions = {shop: keys.session(str(owner)) for shop, owner in owners.items()}
        yield Shops(str(client.base_url).rstrip("/"), sessions, customers)
    server.drop(database.name)


def _write(connection: Connection, shop: str, owner: UUID) -> None:
    shop_id = add_shop(connection, shop)
    connection.execute("update user_shops set user_id = %s where id = %s", [owner, shop_id])
    parameters = {"shop": shop_id, "names": list(_NAMES), "now": datetime.now(UTC) - timedelta(minutes=1)}
    if shop == "hostile":
        connection.execute("update user_shops set shop_name = %s where id = %s", ["Shop " + "W" * 70, shop_id])
        connection.execute(_ORDERS, parameters)
        connection.execute(_TRACKING, parameters)
        # A second shop, for the list of shops.
        other = add_shop(connection, "other")
        connection.execute("update user_shops set user_id = %s where id = %s", [owner, other])
    elif shop == "single":
        connection.execute(_ONE, parameters)


def _context(browser: Browser, shops: Shops, shop: str, width: int) -> BrowserContext:
    context = browser.new_context(viewport={"width": width, "height": 844}, base_url=shops.address)
    context.add_cookies([{"name": COOKIE, "value": shops.sessions[shop], "url": shops.address}])
    return context


@pytest.mark.parametrize("width", _WIDTHS)
@pytest.mark.parametrize("shop", _SHOPS)
def test_no_text_is_cut_or_overlaps_on_any_page(browser: Browser, shops: Shops, shop: str, width: int) -> None:
    paths = [*_PATHS, *([f"/customers/{shops.customers[shop]}"] if shop in shops.customers else [])]
    faults: dict[str, list[str]] = {}
    context = _context(browser, shops, shop, width)
    try:
        page = context.new_page()
        for path in paths:
            page.goto(f"{path}{'&' if '?' in path else '?'}shop={shop}")
            found = page.evaluate(_FAULTS)
            page.evaluate("document.querySelectorAll('details:not(.shops)').forEach(element => element.open = true)")
            found += page.evaluate(_FAULTS)
            if found:
                faults[path] = found
    finally:
        context.close()
    assert faults == {}


@pytest.mark.parametrize("shop", ["hostile", "single"])
def test_no_label_of_a_picture_is_cut_or_overlaps(browser: Browser, shops: Shops, shop: str) -> None:
    faults: dict[str, list[str]] = {}
    context = _context(browser, shops, shop, 1280)
    try:
        page = context.new_page()
        for name in FIGURES:
            for size in ("narrow", "wide"):
                address = f"/charts/{name}.svg?size={size}&period=year&shop={shop}"
                if context.request.get(address).status == 404:
                    continue  # there is nothing to draw yet
                page.goto(address)
                found = page.evaluate(_LABELS)
                if found:
                    faults[f"{name} {size}"] = found
    finally:
        context.close()
    assert faults == {}


_LABELS = """() => {
    const frame = document.documentElement.getBoundingClientRect();
    const texts = [...document.querySelectorAll("text")].filter(text => text.textContent.trim())
        .map(text => [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width > 0);
    const cut = texts.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1 ||
        box.top < frame.top - 2 || box.bottom > frame.bottom + 2).map(([text]) => `cut: ${text}`);
    const overlaps = texts.flatMap(([one, a], place) => texts.slice(place + 1).filter(([, b]) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4).map(([other]) => `overlap: ${one} / ${other}`));
    return [...cut, ...overlaps];
}"""
