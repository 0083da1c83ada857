"""The rows of every table and view of a schema, whatever models there are."""

from datetime import UTC, datetime
from decimal import Decimal

from psycopg import sql

from ingest.storage.connections import Connection

Snapshot = dict[str, list[tuple[object, ...]]]

# When it was computed is the one thing that two equal computations differ in. (time_spine holds nothing but days.)
_MOMENTS = {"refreshed_at"}

# The views that compare with a shop's current day are read as of one moment: else a midnight between two snapshots,
# which is at every hour somewhere, would be a difference.
_NOW = datetime.now(UTC)


def snapshot(connection: Connection, schema: str = "analytics") -> Snapshot:
    """Relation name → its rows, sorted; of what readers see, if not said otherwise. New models are included without a
    change here."""
    columns: dict[str, list[str]] = {}
    for relation, column in connection.execute(
        """
        select class.relname, attribute.attname
        from pg_class as class
        inner join pg_attribute as attribute on class.oid = attribute.attrelid
        where
            class.relnamespace = to_regnamespace(%s)
            and class.relkind in ('r', 'm', 'v')
            -- Live: it leaves out what waits for the next refresh.
            and class.relname not in ('reconciliation')
            and class.relname <> 'time_spine'
            and attribute.attnum > 0
            and not attribute.attisdropped
        order by class.relname, attribute.attname
        """,
        [schema],
    ):
        if column not in _MOMENTS:
            columns.setdefault(relation, []).append(column)
    with connection.transaction():
        connection.execute("select set_config('regulars.now', %s, true)", [_NOW.isoformat()])
        return {
            relation: _rows(connection, sql.Identifier(schema, relation), names) for relation, names in columns.items()
        }


def _rows(connection: Connection, relation: sql.Identifier, names: list[str]) -> list[tuple[object, ...]]:
    query = sql.SQL("select {} from {}").format(sql.SQL(", ").join(map(sql.Identifier, names)), relation)
    return sorted((tuple(map(_plain, row)) for row in connection.execute(query)), key=repr)


def _plain(value: object) -> object:
    """0 and 0.00 are one amount, and sort as one."""
    return value.normalize() if isinstance(value, Decimal) else value
