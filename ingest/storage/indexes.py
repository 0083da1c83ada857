"""Indexes on the storefront's own tables, built concurrently: its writers never wait for one."""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from ingest.storage.connections import Connection
from ingest.storage.errors import MigrationError

_LOCK = 0x5265_6749_6E64  # "RegInd"


@dataclass(frozen=True, slots=True)
class Index:
    name: str
    table: str
    column: str


# Reconciliation, a changed country and an erasure look for the orders of one shop.
INDEXES = (Index("regulars_orders_by_shop", "shop_orders", "shop_id"),)

# Two facts: the table has a valid index that begins with the column, whoever made it; ours is there, but invalid.
_STANDING = """
    select
        coalesce(bool_or(i.indisvalid and i.indpred is null and a.attname = %(column)s), false),
        coalesce(bool_or(c.relname = %(name)s and not i.indisvalid), false)
    from pg_index as i
    inner join pg_class as c on i.indexrelid = c.oid
    left join pg_attribute as a on i.indrelid = a.attrelid and i.indkey[0] = a.attnum
    where i.indrelid = to_regclass('public.' || %(table)s)
"""


def missing_indexes(connection: Connection) -> list[Index]:
    """The indexes that are needed, because no index of the storefront serves the same purpose."""
    return [index for index in INDEXES if not _stands(connection, index)[0]]


def build_indexes(connection: Connection) -> list[str]:
    """Builds the missing indexes; returns their names. `connection` is in autocommit. Raises MigrationError.

    An invalid index that a killed build left behind is dropped first. Does nothing while another process is building.
    """
    row = connection.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
    if row != (True,):
        return []
    try:
        return [index.name for index in missing_indexes(connection) if _build(connection, index)]
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", [_LOCK])


def _stands(connection: Connection, index: Index) -> tuple[bool, bool]:
    facts = {"name": index.name, "table": index.table, "column": index.column}
    serves, is_broken = connection.execute(_STANDING, facts).fetchone() or (False, False)
    return serves, is_broken


def _build(connection: Connection, index: Index) -> bool:
    name, table, column = (
        sql.Identifier(index.name),
        sql.Identifier("public", index.table),
        sql.Identifier(index.column),
    )
    try:
        if _stands(connection, index)[1]:
            connection.execute(sql.SQL("drop index concurrently if exists public.{}").format(name))
        connection.execute(sql.SQL("create index concurrently {} on {} ({})").format(name, table, column))
    except psycopg.errors.InsufficientPrivilege:
        raise MigrationError(
            f"Only the owner of {index.table} can build the index {index.name}: run `regulars migrate` as that user."
        ) from None
    return True
