"""Recomputes the drawn shops in a schema of their own, and compares them with what readers see, row by row."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from psycopg import sql

from flows.audit.raw import copy_rows, draw_shops, drop_rows
from flows.building import project
from flows.building.shop_rebuild import SEGMENT_RECORD
from flows.shapes import MOMENTS, PUBLISHED
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings

# The models are built here where dbt's variable `audit` is set.
SCHEMA = "audit"

EVERY = timedelta(days=7)

# A fixed number, so that an audit costs the same on every platform.
_ORDERS = 50_000

# The first audit comes a week after the first refresh.
_IS_DUE = """
    select
        coalesce(
            (select max(audited_at) from regulars.audits),
            (select min(finished_at) from regulars.refreshes where status = 'succeeded')
        ) < clock_timestamp() - %s
"""

# The relations of shops that are in both schemas, with their columns in the published order.
_COMPARED = """
    select
        computed.relname,
        array_agg(attribute.attname order by attribute.attnum)
    from pg_class as computed
    inner join pg_class as published
        on computed.relname = published.relname and published.relnamespace = %(published)s::regnamespace
    inner join pg_attribute as attribute
        on published.oid = attribute.attrelid and attribute.attnum > 0 and not attribute.attisdropped
    where
        computed.relnamespace = %(computed)s::regnamespace
        and computed.relkind in ('r', 'm', 'v')
        and attribute.attname <> all(%(moments)s)
    group by computed.relname
    having bool_or(attribute.attname = 'shop_id')
    order by computed.relname
"""

_DIFFERENCES = """
    insert into regulars.drift (audit_id, shop_id, shop, relation, was_published, contents)
    select
        %(audit)s,
        differing.shop_id,
        coalesce(shops.shop_slug, cast(differing.shop_id as text)),
        {name},
        {was_published},
        to_jsonb(differing)
    from (
        select {columns} from {one} where shop_id = any(%(shops)s)
        except all
        select {columns} from {other} where shop_id = any(%(shops)s)
    ) as differing
    left join analytics.shops as shops on differing.shop_id = shops.shop_id
"""


def is_due(connection: Connection) -> bool:
    """Whether the last audit is a week ago."""
    row = connection.execute(_IS_DUE, [EVERY]).fetchone()
    return row is not None and bool(row[0])


def audit(connection: Connection, settings: Settings, conninfo: str, *, patience: float) -> list[str]:
    """Audits shops drawn at random, under the refresh's lock and after it has published; returns warnings.

    Rows that differ are stored in `regulars.drift`, and the next refresh recomputes their shops. Raises BuildFailed if
    they can't be computed now.
    """
    try:
        shops = copy_rows(connection, draw_shops(connection, budget=_ORDERS))
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(SCHEMA)))
        if shops:
            project.build(
                settings, conninfo,
                *("--resource-type", "model", "--exclude", f"{SEGMENT_RECORD}+", "reconciliation", "time_spine"),
                *("--vars", "audit: true"),
                patience=patience, target=SCHEMA,
            )  # fmt: skip
            return _compare(connection, shops)
    finally:
        drop_rows(connection)
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(SCHEMA)))
    return []


def _compare(connection: Connection, shops: Sequence[UUID]) -> list[str]:
    with connection.transaction():
        connection.execute("set local row_security = off")
        compared = connection.execute(
            _COMPARED, {"published": PUBLISHED, "computed": SCHEMA, "moments": list(MOMENTS)}
        ).fetchall()
        (audit_id,) = connection.execute(
            "insert into regulars.audits (shops, relations, differences) values (%s, %s, 0) returning audit_id",
            [list(shops), [name for name, _ in compared]],
        ).fetchone() or (0,)
        for name, columns in compared:
            sides = [sql.Identifier(PUBLISHED, name), sql.Identifier(SCHEMA, name)]
            for was_published in (True, False):
                one, other = sides if was_published else reversed(sides)
                connection.execute(
                    sql.SQL(_DIFFERENCES).format(
                        name=sql.Literal(name),
                        was_published=sql.Literal(was_published),
                        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                        one=one,
                        other=other,
                    ),
                    {"audit": audit_id, "shops": list(shops)},
                )
        differing = connection.execute(
            """
            with
            rows as (select shop_id, shop, relation from regulars.drift where audit_id = %(audit)s),
            noted as (
                update regulars.audits set differences = (select count(*) from rows) where audit_id = %(audit)s
            ),
            asked as (
                insert into regulars.shops_to_rebuild (shop_id)
                select distinct rows.shop_id from rows on conflict do nothing
            )
            select shop, count(*), string_agg(distinct relation, ', ') from rows group by shop order by shop
            """,
            {"audit": audit_id},
        ).fetchall()
    return [
        f"The audit found {count:,} rows of {slug} that differ from its raw rows ({relations}): see regulars.drift."
        for slug, count, relations in differing
    ]
