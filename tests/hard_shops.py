"""Shops that are hard to show: hostile and long texts with sixty links over five years, a single customer, none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from flows.steps import run_refresh
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from regulars.dashboard.app import create_app
from regulars.dashboard.security.tokens import Keys
from tests.conftest import NAME, Database, Server
from tests.owners import settings_of
from tests.pages import HOSTILE
from tests.served import served
from tests.storefront import add_shop

SHOPS = ("hostile", "single", "none")
PATHS = (
    "/", "/?period=7", "/?period=year&against=year", "/?period=custom&from=2024-02-01&to=2024-03-31", "/customers",
    "/customers?search=nobody", "/customers?min_spent=1&segment=champions", "/retention", "/links?period=year",
    "/segments", "/forecast",
)  # fmt: skip

NAMES = (
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
# A prediction of each horizon, of which the first two have matured.
_FORECASTS = """
    with fits as (
        insert into regulars.forecast_fits (shop_id, fitted_through, purchase_days, net_amount, customers,
            repeat_customers, r, alpha, a, b, log_likelihood, converged, is_in_use, amount_reason)
        select id, %(begun)s::date - 1, 40, 300, 30, 12, 1, 1, 1, 1, -9, true, true, 'all customers spend the same'
        from user_shops where shop_slug = %(slug)s
        returning shop_id, fit_id
    ), customers as (
        insert into regulars.forecasts (shop_id, shop_customer_id, fit_id, probability_alive, expected_purchases_30,
            expected_purchases_90, expected_purchases_365)
        select fits.shop_id, customers.shop_customer_id, fits.fit_id, 0.625, 1.25, 3.5, 10.75
        from fits inner join analytics.customers as customers on fits.shop_id = customers.shop_id
    )
    insert into regulars.shop_forecasts (shop_id, fit_id, horizon_days, from_day, matures_on, customers,
        expected_purchases, expected_net_amount)
    select shop_id, fit_id, days, %(begun)s::date, %(begun)s::date + days, 30, days * 1234.5, days * 99999999.99
    from fits cross join unnest(array[30, 90, 365]) as days
"""


@dataclass(frozen=True, slots=True)
class HardShops:
    database: Database
    settings: Settings
    address: str
    sessions: dict[str, str]
    customers: dict[str, str]

    def paths(self, shop: str) -> list[str]:
        """The pages of the shop, a customer's among them, with every part of the date control."""
        pages = [*PATHS, *([f"/customers/{self.customers[shop]}"] if shop in self.customers else [])]
        return [f"{page}{'&' if '?' in page else '?'}shop={shop}" for page in pages]


@contextmanager
def hard_shops(server: Server, template: str) -> Iterator[HardShops]:
    """A dashboard that serves them, each with an owner of its own."""
    owners = {shop: uuid4() for shop in SHOPS}
    database = server.create(NAME, template=template)
    with database.connect() as connection:
        for shop, owner in owners.items():
            _write(connection, shop, owner)
        run_refresh(database.settings)
        # Their purchases are too regular for a fit of their own.
        connection.execute(_FORECASTS, {"slug": "hostile", "begun": datetime.now(UTC).date() - timedelta(days=95)})
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
        yield HardShops(database, settings, str(client.base_url).rstrip("/"), sessions, customers)
    server.drop(database.name)


def _write(connection: Connection, shop: str, owner: UUID) -> None:
    shop_id = add_shop(connection, shop)
    connection.execute("update user_shops set user_id = %s where id = %s", [owner, shop_id])
    parameters = {"shop": shop_id, "names": list(NAMES), "now": datetime.now(UTC) - timedelta(minutes=1)}
    if shop == "hostile":
        connection.execute("update user_shops set shop_name = %s where id = %s", ["Shop " + "W" * 70, shop_id])
        connection.execute(_ORDERS, parameters)
        connection.execute(_TRACKING, parameters)
        # A second shop, for the list of shops.
        other = add_shop(connection, "other")
        connection.execute("update user_shops set user_id = %s where id = %s", [owner, other])
    elif shop == "single":
        connection.execute(_ONE, parameters)
