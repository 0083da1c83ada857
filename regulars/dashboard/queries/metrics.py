"""A shop's numbers, read from the views of schema `dashboard`.

Each function takes a connection inside the owner's transaction (`reader.Reader.as_owner`), and raises NotCountedYet
where no refresh has counted the shop.
"""

from datetime import date, timedelta
from typing import LiteralString

from ingest.storage.connections import Connection
from regulars.dashboard.errors import NotCountedYet
from regulars.dashboard.queries.freshness import require_counted
from regulars.dashboard.queries.periods import Span
from regulars.dashboard.queries.select import Model, select
from regulars.dashboard.schemas import (
    AcquisitionMonth,
    CampaignRow,
    CohortMonth,
    CohortWindow,
    ForecastError,
    ForecastFit,
    ForecastHorizon,
    LifetimeValueMonth,
    LinkRow,
    MovementMonth,
    NetworkMonth,
    NetworkSwitch,
    Overview,
    RepeatRate,
    RevenueDay,
    Shop,
    SlugRow,
)


def overview(connection: Connection, shop: Shop) -> Overview:
    """The cards, and the shop's current month beside the one before.

    The current month comes from the shop's clock, so it is right on the 1st before any refresh. A month without a row
    has no sales.
    """
    rows = select(
        connection,
        Overview,
        """
        cross join lateral (
            select
                date_trunc('month', now() at time zone shop_overview.time_zone)::date as this,
                (date_trunc('month', now() at time zone shop_overview.time_zone) - interval '1 month')::date as previous
        ) as months
        left join dashboard.monthly_acquisition as this
            on shop_overview.shop_id = this.shop_id and months.this = this.month
        left join dashboard.monthly_acquisition as previous
            on shop_overview.shop_id = previous.shop_id and months.previous = previous.month
        where shop_overview.shop_id = %s
        """,
        [shop.shop_id],
    )
    if not rows:
        raise NotCountedYet
    return rows[0]


def acquisition(connection: Connection, shop: Shop) -> list[AcquisitionMonth]:
    """New and returning customers of each month, oldest first, without gaps."""
    return _of_shop(connection, shop, AcquisitionMonth, "where shop_id = %s order by month")


def repeat_rates(connection: Connection, shop: Shop) -> list[RepeatRate]:
    """How many customers came back, by four definitions; oldest first, without gaps."""
    return _of_shop(connection, shop, RepeatRate, "where shop_id = %s order by month")


def movement(connection: Connection, shop: Shop) -> list[MovementMonth]:
    """New, retained, reactivated and lapsed customers of each month, oldest first, without gaps."""
    return _of_shop(connection, shop, MovementMonth, "where shop_id = %s order by month")


def cohorts(connection: Connection, shop: Shop) -> list[CohortMonth]:
    """How many of each month's new customers bought again, month by month; a future month has no row."""
    return _of_shop(connection, shop, CohortMonth, "where shop_id = %s order by cohort_month, months_since")


def lifetime_values(connection: Connection, shop: Shop) -> list[LifetimeValueMonth]:
    """What each cohort has brought, month by month; averages are None until their month is over."""
    return _of_shop(connection, shop, LifetimeValueMonth, "where shop_id = %s order by cohort_month, months_since")


def cohort_windows(connection: Connection, shop: Shop) -> list[CohortWindow]:
    """What each cohort did within 30 to 365 days of its customers' own first purchases."""
    return _of_shop(connection, shop, CohortWindow, "where shop_id = %s order by cohort_month, window_days")


def links(connection: Connection, shop: Shop) -> list[LinkRow]:
    """What each link brought, the largest last-touch revenue first; slugs that rotate are one link."""
    return _of_shop(connection, shop, LinkRow, "where shop_id = %s order by last_touch_net_amount desc, link")


def campaigns(connection: Connection, shop: Shop) -> list[CampaignRow]:
    """What each campaign brought, the largest last-touch revenue first."""
    order = "where shop_id = %s order by last_touch_net_amount desc, utm_source, utm_medium, utm_campaign"
    return _of_shop(connection, shop, CampaignRow, order)


def networks(connection: Connection, shop: Shop) -> list[NetworkMonth]:
    """Each network's share of each month, oldest first; in a month, the largest share first."""
    return _of_shop(connection, shop, NetworkMonth, "where shop_id = %s order by month, sales desc, network")


def network_switches(connection: Connection, shop: Shop) -> list[NetworkSwitch]:
    """How often customers' main network changed, by month; in a month, the most frequent change first."""
    order = "where shop_id = %s order by month, switches desc, from_network, to_network"
    return _of_shop(connection, shop, NetworkSwitch, order)


def forecast_fits(connection: Connection, shop: Shop) -> list[ForecastFit]:
    """The attempts at a fit, the latest first."""
    return _of_shop(connection, shop, ForecastFit, "where shop_id = %s order by fit_id desc")


def forecast(connection: Connection, shop: Shop) -> list[ForecastHorizon]:
    """What the fit in use expects, the shortest horizon first; nothing where no fit has converged."""
    return _of_shop(connection, shop, ForecastHorizon, "where shop_id = %s and is_in_use order by horizon_days")


def forecast_errors(connection: Connection, shop: Shop) -> list[ForecastError]:
    """How wrong the last matured prediction of each horizon was."""
    return _of_shop(connection, shop, ForecastError, "where shop_id = %s order by horizon_days")


def slugs(connection: Connection, shop: Shop) -> list[SlugRow]:
    """What each link brought, the largest revenue first."""
    return _of_shop(connection, shop, SlugRow, "where shop_id = %s order by net_amount desc, slug")


def revenue_days(connection: Connection, shop: Shop, span: Span) -> list[RevenueDay]:
    """These local days, oldest first; 0 where nothing was sold. Ask for no day after that of `as_of`: it is unknown."""
    rows = _of_shop(
        connection, shop, RevenueDay, "where shop_id = %s and order_date between %s and %s", span.first, span.last
    )
    by_day = {row.order_date: row for row in rows}
    days = [span.first + timedelta(days=number) for number in range(span.days)]
    return [by_day.get(day) or _day_without_orders(day) for day in days]


def _day_without_orders(day: date) -> RevenueDay:
    return RevenueDay.model_validate({"order_date": day, "sales": 0, "net_amount": 0, "refunded_amount": 0})


def _of_shop(
    connection: Connection, shop: Shop, model: type[Model], clauses: LiteralString, *parameters: object
) -> list[Model]:
    rows = select(connection, model, clauses, [shop.shop_id, *parameters])
    if not rows:
        # A shop without sales has no rows either; it is not the same.
        require_counted(connection, shop)
    return rows
