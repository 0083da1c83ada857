"""What happened in a period of days. Arguments and errors are as in `metrics`."""

from datetime import datetime

from ingest.storage.connections import Connection
from regulars.dashboard.errors import NotCountedYet
from regulars.dashboard.period_schemas import PeriodLink, PeriodNewcomers, PeriodNumbers, PeriodSums
from regulars.dashboard.queries.freshness import require_counted
from regulars.dashboard.queries.periods import Period, PeriodQuery, Span, resolve
from regulars.dashboard.queries.select import select
from regulars.dashboard.schemas import Shop


def period_of(connection: Connection, shop: Shop, query: PeriodQuery) -> Period:
    """The days that the query means for this shop, by the local day of the last refresh."""
    row = connection.execute("select as_of from dashboard.freshness").fetchone()
    as_of: datetime | None = row[0] if row else None
    if as_of is None:
        raise NotCountedYet
    return resolve(query, today=as_of.astimezone(shop.zone).date())


def numbers(connection: Connection, shop: Shop, span: Span | None) -> PeriodNumbers | None:
    """What happened on these days; None where there are none."""
    if span is None:
        return None
    counted = sums(connection, shop, span).model_dump() | {"new_customers": newcomers(connection, shop, span)}
    return PeriodNumbers(first_day=span.first, last_day=span.last, **counted)


def sums(connection: Connection, shop: Shop, span: Span) -> PeriodSums:
    """Sales and amounts of these days."""
    require_counted(connection, shop)
    days = [shop.shop_id, span.first, span.last]
    return select(connection, PeriodSums, "where shop_id = %s and order_date between %s and %s", days)[0]


def newcomers(connection: Connection, shop: Shop, span: Span) -> int:
    """How many customers bought for the first time on these days."""
    require_counted(connection, shop)
    days = [shop.shop_id, span.first, span.last]
    found = select(connection, PeriodNewcomers, "where shop_id = %s and first_purchase_date between %s and %s", days)
    return found[0].new_customers


def links(connection: Connection, shop: Shop, span: Span) -> list[PeriodLink]:
    """What each link did in the calendar months that these days touch, the largest last-touch revenue first.

    Links are counted by month, so a part of a month is not known.
    """
    require_counted(connection, shop)
    return select(
        connection,
        PeriodLink,
        "where shop_id = %s and month between %s and %s group by link order by last_touch_net_amount desc, link",
        [shop.shop_id, span.first_month, span.last_month],
    )
