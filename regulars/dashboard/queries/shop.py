"""What is asked of the `dashboard` views, for one shop of the owner who is signed in.

Each function takes a connection inside the owner's transaction (`reading.Reader.as_owner`). Where no refresh has
counted the shop they raise NotCountedYet.
"""

from datetime import UTC, date, datetime, timedelta
from typing import LiteralString
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg.rows import dict_row

from ingest.storage.connections import Connection
from regulars.dashboard.api.schemas import (
    AcquisitionMonth,
    CohortMonth,
    Freshness,
    Overview,
    RepeatRate,
    RevenueDay,
    Shop,
    SlugRow,
)
from regulars.dashboard.errors import NoSuchShop, NotCountedYet, ShopNotNamed
from regulars.dashboard.queries.customers import customer_history, customers
from regulars.dashboard.queries.views import Asked, ask, execute, require_counted

__all__ = [
    "acquisition", "chosen_shop", "cohorts", "customer_history", "customers", "freshness", "networks", "overview",
    "own_shops", "repeat_rates", "revenue_days", "slugs",
]  # fmt: skip

MOST_NETWORKS = 50


def own_shops(connection: Connection) -> list[Shop]:
    """Every shop of the owner, by name."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "select shop_id, shop_name, shop_slug, country, currency, time_zone from dashboard.shop_profiles "
            "order by shop_name, shop_slug, shop_id"
        ).fetchall()
    return [Shop(**row | {"time_zone": _readable(row["time_zone"])}) for row in rows]


def chosen_shop(connection: Connection, slug: str | None) -> Shop:
    """The shop with this slug or id; without one the owner's only shop.

    Raises NoSuchShop, where somebody else has it too, and ShopNotNamed.
    """
    shops = own_shops(connection)
    if slug is not None:
        shops = [shop for shop in shops if slug in (shop.shop_slug, str(shop.shop_id))]
    if not shops:
        raise NoSuchShop
    if len(shops) > 1:
        raise ShopNotNamed([shop.shop_slug or str(shop.shop_id) for shop in shops])
    return shops[0]


def freshness(connection: Connection, *, stale_after: timedelta) -> Freshness:
    """As of when the numbers hold. Asks nothing of the shop, so it answers before any refresh too."""
    row = connection.execute("select as_of, refreshed_at, has_failed from dashboard.freshness").fetchone()
    as_of, refreshed_at, has_failed = row or (None, None, False)
    stale = as_of is None or datetime.now(UTC) - as_of > stale_after
    return Freshness(as_of=as_of, refreshed_at=refreshed_at, stale=stale, has_failed=has_failed)


def overview(connection: Connection, shop: Shop) -> Overview:
    """The cards, and the shop's current month beside the one before.

    The month is the shop's own at this moment, so it is right on the 1st before any refresh; a month without a row
    is one in which nobody has come.
    """
    rows = ask(
        connection,
        Overview,
        """
        select
            cards.shop_id,
            cards.currency,
            cards.time_zone,
            cards.available_balance,
            cards.total_profit,
            cards.total_orders,
            cards.pending_withdrawals,
            cards.total_customers,
            cards.repeat_customers,
            cards.repeat_percentage,
            cards.average_ltv,
            cards.customer_revenue,
            cards.refreshed_at,
            months.this as month,
            coalesce(this.new_customers, 0) as new_customers_month,
            coalesce(previous.new_customers, 0) as new_customers_previous_month,
            coalesce(this.active_customers, 0) as active_customers_month,
            coalesce(previous.active_customers, 0) as active_customers_previous_month,
            coalesce(this.net_amount, 0) as revenue_month,
            coalesce(previous.net_amount, 0) as revenue_previous_month,
            coalesce(this.sales, 0) as sales_month,
            coalesce(previous.sales, 0) as sales_previous_month
        from dashboard.shop_overview as cards
        cross join lateral (
            select
                date_trunc('month', now() at time zone cards.time_zone)::date as this,
                (date_trunc('month', now() at time zone cards.time_zone) - interval '1 month')::date as previous
        ) as months
        left join dashboard.monthly_acquisition as this
            on cards.shop_id = this.shop_id and months.this = this.month
        left join dashboard.monthly_acquisition as previous
            on cards.shop_id = previous.shop_id and months.previous = previous.month
        where cards.shop_id = %s
        """,
        [shop.shop_id],
    )
    if not rows:
        raise NotCountedYet
    return rows[0]


def acquisition(connection: Connection, shop: Shop) -> list[AcquisitionMonth]:
    """New and returning customers by month, without gaps, oldest first."""
    return _counted(
        connection,
        shop,
        AcquisitionMonth,
        """
        select month, new_customers, returning_customers, active_customers, sales, net_amount
        from dashboard.monthly_acquisition
        where shop_id = %s
        order by month
        """,
    )


def repeat_rates(connection: Connection, shop: Shop) -> list[RepeatRate]:
    """How many of a month's customers had bought before, oldest first."""
    return _counted(
        connection,
        shop,
        RepeatRate,
        """
        select month, customers, repeat_customers, repeat_rate
        from dashboard.repeat_rates
        where shop_id = %s
        order by month
        """,
    )


def cohorts(connection: Connection, shop: Shop) -> list[CohortMonth]:
    """How many of a month's new customers bought again, month by month; a month to come has no row."""
    return _counted(
        connection,
        shop,
        CohortMonth,
        """
        select cohort_month, months_since, cohort_size, active_customers, retention_rate, net_amount
        from dashboard.cohort_retention
        where shop_id = %s
        order by cohort_month, months_since
        """,
    )


def slugs(connection: Connection, shop: Shop) -> list[SlugRow]:
    """What each link has brought, the largest revenue first."""
    return _counted(
        connection,
        shop,
        SlugRow,
        """
        select slug, visits, converted_visits, sales, customers, new_customers, net_amount, conversion_rate
        from dashboard.slug_analytics
        where shop_id = %s
        order by net_amount desc, slug
        """,
    )


def revenue_days(connection: Connection, shop: Shop, *, days: int = 90) -> list[RevenueDay]:
    """The last `days` local days that the numbers know of, oldest first, with a 0 where nothing was sold.

    They end with the day of `as_of`: of a day after it nothing is known, which is no 0.
    """
    row = connection.execute("select as_of from dashboard.freshness").fetchone()
    if row is None or row[0] is None:
        raise NotCountedYet
    last: date = row[0].astimezone(ZoneInfo(shop.time_zone)).date()
    first = last - timedelta(days=days - 1)
    rows = _counted(
        connection,
        shop,
        RevenueDay,
        """
        select order_date, sales, net_amount, refunded_amount
        from dashboard.shop_days
        where shop_id = %s and order_date between %s and %s
        """,
        first,
        last,
    )
    known = {row.order_date: row for row in rows}
    span = [first + timedelta(days=number) for number in range(days)]
    return [known.get(day) or _day_without_orders(day) for day in span]


def _day_without_orders(day: date) -> RevenueDay:
    return RevenueDay.model_validate({"order_date": day, "sales": 0, "net_amount": 0, "refunded_amount": 0})


def networks(connection: Connection, shop: Shop) -> list[str]:
    """The networks that the shop's customers prefer, by name; reads all of them, so keep it until the next refresh."""
    rows = execute(
        connection,
        """
        select distinct preferred_network
        from dashboard.customers
        where shop_id = %s and preferred_network is not null
        order by preferred_network
        limit %s
        """,
        [shop.shop_id, MOST_NETWORKS],
    )
    return [network for (network,) in rows]


def _counted(
    connection: Connection, shop: Shop, model: type[Asked], query: LiteralString, *parameters: object
) -> list[Asked]:
    rows = ask(connection, model, query, [shop.shop_id, *parameters])
    if not rows:
        # A shop without a sale has no rows, and one that was never counted has none either.
        require_counted(connection, shop)
    return rows


def _readable(time_zone: str) -> str:
    try:
        return ZoneInfo(time_zone).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"
