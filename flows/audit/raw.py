"""Copies the raw rows of the drawn shops, in one snapshot without a change of theirs that waits for a refresh."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from ingest.storage.connections import Connection

# The models read these where dbt's variable `audit` is set. Nothing else reads them.
SOURCES = "audit_sources"

# The rows of each table that staging reads; none of tables without numbers.
_OF_SHOPS: LiteralString = "shop_id = any({shops})"
_TABLES: dict[str, LiteralString] = {
    "public.user_shops": "id = any({shops})",
    "public.shop_orders": _OF_SHOPS,
    "public.shop_slugs": _OF_SHOPS,
    "public.shop_profits": _OF_SHOPS,
    "public.withdrawal_requests": _OF_SHOPS,
    "regulars.tracking": _OF_SHOPS,
    "regulars.forecast_fits": _OF_SHOPS,
    "regulars.forecasts": _OF_SHOPS,
    "regulars.shop_forecasts": _OF_SHOPS,
    "regulars.segment_grid": "shop_id is null or " + _OF_SHOPS,
    "regulars.unreadable_phones": "false",
    "regulars.orders_to_match": "false",
    "regulars.changes": "false",
    "regulars.batch": "false",
    "regulars.refreshes": "false",
}

# No model needs to know who bought.
_PERSONAL = ("customer_name", "customer_email", "customer_phone")

# In random order, until their orders reach the budget.
_DRAWN = """
    with
    shuffled as (
        select
            shops.id as shop_id,
            coalesce(sizes.orders, 0) as orders,
            random() as place
        from public.user_shops as shops
        left join (
            select shop_id, sum(orders) as orders from analytics.shop_days group by shop_id
        ) as sizes on shops.id = sizes.shop_id
    ),
    queued as (
        select shop_id, sum(orders) over (order by place, shop_id) - orders as before from shuffled
    )
    select shop_id from queued where before < %s
"""


def draw_shops(connection: Connection, *, budget: int) -> list[UUID]:
    """Shops drawn at random, until they have `budget` orders; one at least."""
    return [shop_id for (shop_id,) in connection.execute(_DRAWN, [budget])]


def copy_rows(connection: Connection, shops: Sequence[UUID]) -> list[UUID]:
    """Copies the raw rows of these shops into the schema SOURCES, in one snapshot; returns the shops that can be
    compared with what is published.

    Under the refresh's lock, and with everything published. A shop with a change that waits for the next refresh is
    left out, since the change is not published yet.
    """
    drop_rows(connection)
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("set local row_security = off")
        waiting = {shop_id for (shop_id,) in connection.execute("select distinct shop_id from regulars.changes")}
        settled = [shop for shop in shops if shop not in waiting]
        connection.execute(sql.SQL("create schema {}").format(sql.Identifier(SOURCES)))
        for table, condition in _TABLES.items():
            _copy(connection, *table.split("."), condition=condition, shops=settled)
    return settled


def drop_rows(connection: Connection) -> None:
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(SOURCES)))


def _copy(connection: Connection, schema: str, table: str, *, condition: LiteralString, shops: Sequence[UUID]) -> None:
    source, copy = sql.Identifier(schema, table), sql.Identifier(SOURCES, table)
    names = connection.execute(
        "select attname from pg_attribute "
        "where attrelid = %s::regclass and attnum > 0 and not attisdropped and attname <> all(%s) order by attnum",
        [source.as_string(), list(_PERSONAL)],
    ).fetchall()
    columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in names)
    chosen = sql.SQL(condition).format(shops=sql.Literal(list(shops)))
    connection.execute(
        sql.SQL("create unlogged table {} as select {} from {} where {}").format(copy, columns, source, chosen)
    )
    connection.execute(sql.SQL("analyze {}").format(copy))
