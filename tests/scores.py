"""Customers' scores and segments, counted in Python from their purchases."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple, TypeVar
from uuid import UUID

from ingest.storage.connections import Connection

FEWEST = 50
"""A shop with fewer customers has no segments."""

Value = TypeVar("Value", date, int, Decimal)
Grid = dict[tuple[UUID | None, int, int], str]
Purchases = dict[UUID, list[tuple[date, Decimal]]]


class Score(NamedTuple):
    recency: int
    frequency: int
    monetary: int
    value: int
    segment: str
    spent: Decimal


def read_grid(connection: Connection) -> Grid:
    """The segment of each shop, recency and value; those without a shop are the default."""
    rows = connection.execute("select shop_id, recency_score, value_score, segment from regulars.segment_grid")
    return {(shop, recency, value): segment for shop, recency, value, segment in rows}


def read_purchases(connection: Connection) -> dict[UUID, Purchases]:
    """Shop → customer → local day and amount of each sale, from the raw orders."""
    shops: dict[UUID, Purchases] = defaultdict(lambda: defaultdict(list))
    for shop, customer, day, amount in connection.execute(
        "select o.shop_id, t.shop_customer_id, (o.created_at at time zone s.timezone)::date, o.total_price "
        "from public.shop_orders as o inner join regulars.tracking as t on o.id = t.shop_order_id "
        "inner join public.user_shops as s on o.shop_id = s.id "
        "where o.payment_status = 'completed' and o.order_status = 'completed'"
    ):
        shops[shop][customer].append((day, amount))
    return shops


def score_customers(
    customers: Mapping[UUID, Sequence[tuple[date, Decimal]]], grid: Grid, *, shop: UUID
) -> dict[UUID, Score]:
    """Each customer's score and segment; none in a shop with too few customers."""
    if len(customers) < FEWEST:
        return {}
    totals = {
        customer: (
            max(day for day, _ in purchases),
            len(purchases),
            sum((amount for _, amount in purchases), Decimal(0)),
        )
        for customer, purchases in customers.items()
    }
    days, counts, sums = (list(values) for values in zip(*totals.values(), strict=True))
    scores = {}
    for customer, (day, count, spent) in totals.items():
        recency, frequency, monetary = _fifth(day, days), _fifth(count, counts), _fifth(spent, sums)
        value = int(Decimal(frequency + monetary) / 2 + Decimal("0.5"))
        segment = grid.get((shop, recency, value), grid[None, recency, value])
        scores[customer] = Score(recency, frequency, monetary, value, segment, spent)
    return scores


def _fifth(value: Value, values: list[Value]) -> int:
    return 1 + 5 * sum(other < value for other in values) // len(values)
