"""What readers see: every table and materialized view of schema `analytics`, whatever models there are."""

from decimal import Decimal

from psycopg import sql

from ingest.storage.connections import Connection

Snapshot = dict[str, list[tuple[object, ...]]]

# When it was computed is the one thing that two equal computations differ in.
_MOMENTS = {"refreshed_at"}


def snapshot(connection: Connection) -> Snapshot:
    """Relation name → its rows, sorted. New models are taken in without a change here."""
    columns: dict[str, list[str]] = {}
    for relation, column in connection.execute(
        """
        select class.relname, attribute.attname
        from pg_class as class
        inner join pg_attribute as attribute on class.oid = attribute.attrelid
        where
            class.relnamespace = to_regnamespace('analytics')
            and class.relkind in ('r', 'm')
            and attribute.attnum > 0
            and not attribute.attisdropped
        order by class.relname, attribute.attname
        """
    ):
        if column not in _MOMENTS:
            columns.setdefault(relation, []).append(column)
    return {relation: _rows(connection, relation, names) for relation, names in columns.items()}


def _rows(connection: Connection, relation: str, names: list[str]) -> list[tuple[object, ...]]:
    query = sql.SQL("select {} from analytics.{}").format(
        sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(relation)
    )
    return sorted((tuple(map(_plain, row)) for row in connection.execute(query)), key=repr)


def _plain(value: object) -> object:
    """0 and 0.00 are one amount, and sort as one."""
    return value.normalize() if isinstance(value, Decimal) else value
