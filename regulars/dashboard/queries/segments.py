"""A shop's segments, and its customers by their own rhythm. Arguments and errors are as in `metrics`."""

from ingest.storage.connections import Connection
from regulars.dashboard.queries.freshness import require_counted
from regulars.dashboard.queries.select import fetch, select, select_customers
from regulars.dashboard.schemas import Shop
from regulars.dashboard.segment_schemas import CustomerAtRisk, SegmentSize, ShopSegments, StateSize


def shop_segments(connection: Connection, shop: Shop) -> ShopSegments:
    """Whether the shop's customers have segments, and if not, why. Raises NotCountedYet."""
    require_counted(connection, shop)
    rows = select(connection, ShopSegments, "where shop_id = %s", [shop.shop_id])
    return rows[0]


def segments(connection: Connection, shop: Shop) -> list[SegmentSize]:
    """The segments, the largest first."""
    return select(connection, SegmentSize, "where shop_id = %s order by customers desc, segment", [shop.shop_id])


def sizes(connection: Connection, shop: Shop) -> list[tuple[str, int]]:
    """How many customers each segment has, the largest first; unlike `segments`, without those who moved."""
    rows = fetch(
        connection,
        "select segment, count(*) from dashboard.customer_segments where shop_id = %s "
        "group by segment order by count(*) desc, segment",
        [shop.shop_id],
    )
    return [(segment, customers) for segment, customers in rows]


def states(connection: Connection, shop: Shop) -> list[StateSize]:
    """The states, from active to lapsed."""
    order = "order by array_position(array['active', 'due', 'at risk', 'lapsed', 'unknown'], state)"
    return select(connection, StateSize, f"where shop_id = %s {order}", [shop.shop_id])


def at_risk(connection: Connection, shop: Shop, *, limit: int) -> list[CustomerAtRisk]:
    """The customers who are at risk today, those who were worth the most a month first. Raises NotCountedYet."""
    require_counted(connection, shop)
    late = fetch(
        connection,
        """
        select shop_customer_id
        from dashboard.customer_rhythms
        where shop_id = %s and state = 'at risk'
        order by net_per_month desc nulls last, shop_customer_id
        limit %s
        """,
        [shop.shop_id, limit],
    )
    # In a second query: joined to the first, it would look up every customer of the shop.
    return select_customers(connection, CustomerAtRisk, shop, [customer_id for (customer_id,) in late])
