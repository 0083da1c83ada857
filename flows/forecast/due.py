"""Which shops are due for a fit: by the moment of the data, so that a night without sales makes none due."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from psycopg.rows import class_row

from ingest.storage.connections import Connection

# A fit holds for a week.
DAYS = 7

# The published numbers hold everything before the last refresh's as_of, so the last whole day is the one before it.
_DUE = """
    with
    latest as (
        select distinct on (shop_id) shop_id, fitted_through, purchase_days, net_amount
        from regulars.forecast_fits
        order by shop_id, fit_id desc
    ),
    shops as (
        select
            shops.shop_id,
            (refreshes.as_of at time zone shops.time_zone)::date - 1 as through
        from analytics.shops as shops
        -- A shop that was deleted since is still published.
        inner join public.user_shops as standing on shops.shop_id = standing.id
        cross join (
            select as_of from regulars.refreshes where status = 'succeeded' order by refresh_id desc limit 1
        ) as refreshes
    ),
    totals as (
        select
            shops.shop_id,
            shops.through,
            coalesce(sum(days.customers), 0)::bigint as purchase_days,
            coalesce(sum(days.net_amount), 0) as net_amount
        from shops
        left join latest on shops.shop_id = latest.shop_id
        left join analytics.shop_days as days
            on shops.shop_id = days.shop_id and days.order_date <= shops.through
        where latest.shop_id is null or shops.through >= latest.fitted_through + %(days)s
        group by shops.shop_id, shops.through
    )
    select totals.shop_id, totals.through, totals.purchase_days, totals.net_amount
    from totals
    left join latest on totals.shop_id = latest.shop_id
    where
        latest.shop_id is null
        or (totals.purchase_days, totals.net_amount) is distinct from (latest.purchase_days, latest.net_amount)
    order by latest.fitted_through nulls first, totals.shop_id
"""


@dataclass(frozen=True, slots=True)
class DueShop:
    """A shop to fit. `through` is the last local day of its data, which has so many purchase days (a customer's
    purchases of one day count as one) and this net amount."""

    shop_id: UUID
    through: date
    purchase_days: int
    net_amount: Decimal


def due_shops(connection: Connection) -> list[DueShop]:
    """Shops that were never fitted, or last a week ago and have other sales since; the longest waiting come first."""
    with connection.cursor(row_factory=class_row(DueShop)) as cursor:
        return cursor.execute(_DUE, {"days": DAYS}).fetchall()
