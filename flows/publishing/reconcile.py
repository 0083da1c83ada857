"""Compares the marts with the raw orders, as the view `reconciliation` computes it."""

from collections.abc import Iterable

from psycopg import sql

from flows.errors import NotReconciled
from ingest.storage.connections import Connection

# As many shops as the budget of orders allows, at least one, the longest unchecked first. So each refresh checks all of
# a small platform and a part of a large one, at a fixed cost.
_DUE = """
    with
    shops as (
        select
            shops.id as shop_id,
            checked.reconciled_at,
            coalesce(days.orders, 0) as orders
        from public.user_shops as shops
        left join (
            select shop_id, sum(orders) as orders from {schema}.shop_days group by shop_id
        ) as days on shops.id = days.shop_id
        left join regulars.reconciled_shops as checked on shops.id = checked.shop_id
    ),
    queued as (
        select
            shop_id,
            sum(orders) over (order by reconciled_at nulls first, shop_id) - orders as before
        from shops
    )
    select shop_id from queued where before < %(budget)s
"""

_DIFFERENCES = """
    select
        coalesce(shops.shop_slug, sums.shop_id::text) as shop,
        sums.*
    from {schema}.reconciliation as sums
    left join public.user_shops as shops on sums.shop_id = shops.id
    where sums.shop_id = any(%(shops)s) and not sums.is_reconciled
    order by shop, sums.mart
    limit 20
"""


def reconcile(connection: Connection, *, schema: str, budget: int) -> int:
    """Checks the marts of a schema for the shops that are due, `budget` orders' worth; returns how many.

    Raises NotReconciled, which names each shop and mart with what was expected and what was found.
    """
    within = {"schema": sql.Identifier(schema)}
    due = connection.execute(sql.SQL(_DUE).format(**within), {"budget": budget})
    shops = [shop_id for (shop_id,) in due]
    cursor = connection.execute(sql.SQL(_DIFFERENCES).format(**within), {"shops": shops})
    names = [column.name for column in cursor.description or ()]
    if differences := [dict(zip(names, row, strict=True)) for row in cursor]:
        raise not_reconciled(differences)
    connection.execute(
        "insert into regulars.reconciled_shops (shop_id, reconciled_at) "
        "select unnest(%s::uuid[]), now() "
        "on conflict (shop_id) do update set reconciled_at = excluded.reconciled_at",
        [shops],
    )
    return len(shops)


def not_reconciled(differences: Iterable[dict[str, object]]) -> NotReconciled:
    """The error for these rows of the view, each with its `shop`."""
    return NotReconciled(
        "The marts do not add up to the raw sales; nothing was published. "
        + "; ".join(map(_describe, differences))
        + ". Run `regulars rebuild`, and find out what wrote to the marts."
    )


def _describe(row: dict[str, object]) -> str:
    said = [
        f"{row[f'found_{what}']} {unit} where {row[f'expected_{what}']} were expected"
        for what, unit in (("sales", "sales"), ("net_amount", "net"), ("refunded_amount", "refunded"))
        if row[f"found_{what}"] != row[f"expected_{what}"]
    ]
    return f"shop {row['shop']}, {row['mart']}: {', '.join(said)}"
