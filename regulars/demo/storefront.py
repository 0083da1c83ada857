"""The part of a storefront in the demo: writes shops, orders, profits and withdrawals as they come about."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from psycopg import sql

from ingest.storage.connections import Connection
from regulars.demo.sample_data import Entry, Order, SampleData, Shop

Span = tuple[datetime, datetime]
"""From the first moment to before the second."""

_WithHistory = TypeVar("_WithHistory", Order, Entry)


def open_shops(connection: Connection, data: SampleData) -> None:
    shops = [(s.shop_id, s.owner_id, s.name, s.slug, s.country, s.time_zone, s.currency) for s in data.shops]
    links = [(s.shop_id, k.slug, k.label, k.valid_from, k.valid_to) for s in data.shops for k in s.links]
    _insert(connection, "user_shops", "id user_id shop_name shop_slug country timezone currency", shops)
    _insert(connection, "shop_slugs", "shop_id slug label valid_from valid_to", links)


def place_orders(connection: Connection, data: SampleData, during: Span) -> list[Order]:
    """Writes the orders placed in that time, and returns them."""
    orders = [order for shop in data.shops for order in _begun(shop.orders, during)]
    _insert(
        connection,
        "shop_orders",
        "id shop_id customer_name customer_email customer_phone network volume_gb base_price profit_amount "
        "total_price order_status payment_status created_at",
        [
            (c.order_id, c.shop_id, c.customer_name, c.email, c.phone, o.network, o.volume_gb, o.base_price,
                o.profit_amount, o.base_price + o.profit_amount, *o.history[0])
            for o, c in ((order, order.checkout) for order in orders)
        ],
    )  # fmt: skip
    return orders


def settle(connection: Connection, shop: Shop, during: Span) -> None:
    """Writes profits and withdrawal requests, and moves every row to its status at the end of that time."""
    profits, requests = _begun(shop.profits, during), _begun(shop.withdrawals, during)
    rows = [(p.entry_id, shop.shop_id, p.order_id, p.amount, *p.history[0]) for p in profits]
    _insert(connection, "shop_profits", "id shop_id shop_order_id profit_amount status created_at", rows)
    rows = [(w.entry_id, shop.shop_id, shop.owner_id, w.amount, *w.history[0]) for w in requests]
    _insert(connection, "withdrawal_requests", "id shop_id user_id amount status created_at", rows)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "update public.shop_orders set order_status = %s, payment_status = %s, updated_at = %s where id = %s",
            [(*step, order.checkout.order_id) for order, step in _moved(shop.orders, during)],
        )
        cursor.executemany(
            "update public.shop_profits set status = %s, credited_at = %s where id = %s",
            [(step[0], p.history[1][1], p.entry_id) for p, step in _moved(shop.profits, during)],
        )
        cursor.executemany(
            "update public.withdrawal_requests set status = %s where id = %s",
            [(step[0], w.entry_id) for w, step in _moved(shop.withdrawals, during)],
        )


def _insert(connection: Connection, table: str, columns: str, rows: Iterable[Sequence[object]]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns.split()))
    statement = sql.SQL("copy public.{} ({}) from stdin").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _begun(rows: Iterable[_WithHistory], during: Span) -> list[_WithHistory]:
    return [row for row in rows if during[0] <= row.history[0][-1] < during[1]]


def _moved(rows: Iterable[_WithHistory], during: Span) -> list[tuple[_WithHistory, Any]]:
    """The rows whose status changed in that time, with the last change."""
    later = [(row, [step for step in row.history[1:] if step[-1] < during[1]]) for row in rows]
    return [(row, steps[-1]) for row, steps in later if steps and steps[-1][-1] >= during[0]]
