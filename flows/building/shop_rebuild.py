"""Recomputes single shops in an ordinary refresh: their rows leave the working marts, their keys enter the log."""

from collections.abc import Collection
from uuid import UUID

from psycopg import sql

from flows.history import Refresh
from flows.shapes import PUBLISHED, WORKING, Shape, shapes
from ingest.storage.connections import Connection
from ingest.storage.errors import UnknownShop

# It records what readers were shown, which can't be recomputed from raw rows: decision 0065.
SEGMENT_RECORD = "segment_changes"

# Number 0 comes before all that a model has read, so no sum takes these rows; publishing removes the rows of their
# keys, unless the model adds them again. Rows of an earlier refresh leave the delta: everything is added again.
_EMPTY = """
    delete from {delta} where shop_id = any(%(shops)s);
    insert into {delta} ({columns}, weight, delta_id)
    select {columns}, -1, 0 from {working} where shop_id = any(%(shops)s)
    union
    select {columns}, -1, 0 from {published} where shop_id = any(%(shops)s);
    delete from {working} where shop_id = any(%(shops)s)
"""

_LOG_EVERYTHING = """
    insert into regulars.changes (entity, shop_id, entity_id)
    select 'order', shop_id, id from public.shop_orders where shop_id = any(%(shops)s)
    union all
    select 'visit', shop_id, id from regulars.tracking where shop_id = any(%(shops)s) and accessed_at is not null
    union all
    select 'profit', shop_id, id from public.shop_profits where shop_id = any(%(shops)s)
    union all
    select 'withdrawal', shop_id, id from public.withdrawal_requests where shop_id = any(%(shops)s)
    union all
    select entity, shop_id, shop_id
    from unnest(%(shops)s::uuid[]) as shop_id
    cross join unnest('{{shop,link,forecast,segment_grid}}'::text[]) as entity
"""


def ask_for_rebuild(connection: Connection, slug: str) -> None:
    """Makes the next refresh recompute the shop with this slug. Raises UnknownShop."""
    asked = connection.execute(
        "insert into regulars.shops_to_rebuild (shop_id) select id from public.user_shops where shop_slug = %s "
        "on conflict (shop_id) do update set asked_at = excluded.asked_at returning shop_id",
        [slug],
    ).fetchone()
    if asked is None:
        raise UnknownShop(f"No shop has the slug {slug!r}: see user_shops.shop_slug.")


def empty_shops(connection: Connection, refresh: Refresh, *, recomputed: Collection[str]) -> list[UUID]:
    """Makes this refresh recompute the shops that wait for it, before it claims its batch; returns their ids.

    It is one transaction: if it is killed, the next refresh does it. Readers see the change when it is published. A
    rebuild computes all shops anyway, and so do the models that are `recomputed`.
    """
    with connection.transaction():
        waiting = connection.execute("delete from regulars.shops_to_rebuild returning shop_id").fetchall()
        shops = [shop_id for (shop_id,) in waiting]
        if refresh.mode == "rebuild":
            connection.execute(
                "update regulars.drift set rebuilt_by = %s where rebuilt_by is null", [refresh.refresh_id]
            )
        elif shops:
            connection.execute("set local row_security = off")
            published = shapes(connection, PUBLISHED)
            for name, working in shapes(connection, WORKING).items():
                if working.kind == "r" and name != SEGMENT_RECORD and name not in recomputed:
                    _empty(connection, working, published[name], shops)
            connection.execute(sql.SQL(_LOG_EVERYTHING).format(), {"shops": shops})
            connection.execute(
                "update regulars.drift set rebuilt_by = %s where rebuilt_by is null and shop_id = any(%s)",
                [refresh.refresh_id, shops],
            )
    return shops


def _empty(connection: Connection, working: Shape, published: Shape, shops: list[UUID]) -> None:
    parts = {
        "delta": sql.Identifier("regulars", f"delta_{working.name}"),
        "columns": sql.SQL(", ").join(sql.Identifier(column.name) for column in working.columns),
        "working": working.identifier,
        "published": published.identifier,
    }
    for statement in _EMPTY.split(";"):
        connection.execute(sql.SQL(statement).format(**parts), {"shops": shops})
