"""What to expect of one customer: their rhythm and forecast. Arguments and errors are as in `metrics`."""

from uuid import UUID

from ingest.storage.connections import Connection
from regulars.dashboard.customer_schemas import CustomerForecast, CustomerRhythm
from regulars.dashboard.queries import metrics
from regulars.dashboard.queries.select import select
from regulars.dashboard.schemas import CustomerRow, Shop


def rhythm(connection: Connection, shop: Shop, customer_id: UUID) -> CustomerRhythm | None:
    rows = select(
        connection, CustomerRhythm, "where shop_id = %s and shop_customer_id = %s", [shop.shop_id, customer_id]
    )
    return rows[0] if rows else None


def forecast(connection: Connection, shop: Shop, customer_id: UUID) -> CustomerForecast | None:
    """By the fit in use; None where it has no prediction of the customer, or where there is no fit."""
    rows = select(
        connection,
        CustomerForecast,
        """
        inner join dashboard.forecast_fits as forecast_fits
            on customer_forecasts.shop_id = forecast_fits.shop_id and customer_forecasts.fit_id = forecast_fits.fit_id
        where customer_forecasts.shop_id = %s and customer_forecasts.shop_customer_id = %s
        """,
        [shop.shop_id, customer_id],
    )
    return rows[0] if rows else None


def why_no_forecast(connection: Connection, shop: Shop, customer: CustomerRow) -> str:
    """The reason in words, for a customer without a forecast."""
    if customer.erased_at is not None:
        return "nothing is predicted of a person who was erased"
    if horizons := metrics.forecast(connection, shop):
        return f"the first purchase came after the latest prediction, which begins on {horizons[0].from_day}"
    attempts = metrics.forecast_fits(connection, shop)
    if attempts and attempts[0].reason:
        return attempts[0].reason
    return "the shop has no prediction yet; the next refresh makes one"
