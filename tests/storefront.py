"""Writes a storefront's rows as the storefront does, in plain SQL, without ingest."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from ingest.storage.connections import Connection

MOMENT = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


def add_shop(
    connection: Connection, slug: str = "ama-data", *, country: str = "GH", timezone: str = "Africa/Accra"
) -> UUID:
    shop_id = uuid4()
    connection.execute(
        "insert into public.user_shops (id, user_id, shop_name, shop_slug, country, timezone) "
        "values (%s, %s, %s, %s, %s, %s)",
        [shop_id, uuid4(), slug.title(), slug, country, timezone],
    )
    return shop_id


def add_order(
    connection: Connection,
    shop_id: UUID,
    *,
    phone: str | None = "0241234567",
    total: Decimal | str = "10.00",
    profit: Decimal | str = "1.00",
    order_status: str = "completed",
    payment_status: str = "completed",
    at: datetime = MOMENT,
    network: str | None = "MTN",
) -> UUID:
    order_id = uuid4()
    connection.execute(
        "insert into public.shop_orders (id, shop_id, customer_name, customer_phone, network, base_price, "
        "profit_amount, total_price, order_status, payment_status, created_at) "
        "values (%s, %s, 'Ama', %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            order_id, shop_id, phone, network, Decimal(total) - Decimal(profit), profit, total,
            order_status, payment_status, at,
        ],
    )  # fmt: skip
    return order_id


def add_purchases(connection: Connection, shop: UUID, purchases: Iterable[tuple[int, date, Decimal]]) -> None:
    """Completed orders of an American shop: customer number, day (at noon in New York), amount."""
    with connection.cursor().copy(
        "copy public.shop_orders (id, shop_id, customer_name, customer_phone, network, base_price, profit_amount, "
        "total_price, order_status, payment_status, created_at) from stdin"
    ) as copy:
        for number, (customer, day, amount) in enumerate(purchases):
            copy.write_row(
                [
                    UUID(int=(shop.int + number) % 2**128), shop, "Ama", f"+1213{2_000_000 + customer}", None, amount,
                    0, amount, "completed", "completed", f"{day} 16:00:00+00",
                ]
            )  # fmt: skip


def fetch(connection: Connection, query: str, *parameters: object) -> list[tuple[object, ...]]:
    return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]


def add_forecasts(connection: Connection) -> None:
    """A fit of each shop that stands, as if one had been made, with a prediction that has matured."""
    connection.execute(
        """
        with fits as (
            insert into regulars.forecast_fits (
                shop_id, fitted_through, purchase_days, net_amount, customers, repeat_customers, r, alpha, a, b,
                log_likelihood, converged, is_in_use
            )
            select id, '2026-03-01', 1, 1, 1, 1, 0.243, 4.414, 0.793, 2.426, -1, true, true from public.user_shops
            returning shop_id, fit_id
        ),

        forecasts as (
            insert into regulars.forecasts
            select customers.shop_id, customers.id, fits.fit_id, 0.5, 1, 2, 3, 1, 2, 3
            from fits inner join regulars.customers as customers on fits.shop_id = customers.shop_id
        )

        insert into regulars.shop_forecasts select shop_id, fit_id, 30, '2026-03-02', '2026-04-01', 1, 1, 1 from fits
        """
    )
