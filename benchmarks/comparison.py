"""Whether two schemas hold the same rows, whatever models there are."""

from psycopg import sql

from ingest.storage.connections import Connection

# Live, so it leaves out what waits for the next refresh; and one that holds nothing but days.
_LEFT_OUT = ["reconciliation", "time_spine"]

# As JSON, 0 and 0.00 are one amount. When it was computed is the one thing in which two equal computations differ.
_DIFFERENCES = """
    with
    one as (select to_jsonb(rows) - 'refreshed_at' as contents from {one} as rows),
    other as (select to_jsonb(rows) - 'refreshed_at' as contents from {other} as rows)
    select count(*)
    from (
        (select contents from one except all select contents from other)
        union all
        (select contents from other except all select contents from one)
    ) as differing
"""


def keep(connection: Connection, schema: str, *, under: str) -> None:
    """Copies the rows of every table and view of a schema to another, which is made anew."""
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(under)))
    connection.execute(sql.SQL("create schema {}").format(sql.Identifier(under)))
    # One statement after another, but in one moment: nobody may publish in between.
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        for name in _relations(connection, schema):
            connection.execute(
                sql.SQL("create table {} as select * from {}").format(
                    sql.Identifier(under, name), sql.Identifier(schema, name)
                )
            )


def differences(connection: Connection, one: str, other: str) -> list[str]:
    """A line for each relation of schema `one` whose rows are not those of schema `other`."""
    found = []
    theirs = _relations(connection, other)
    for name in _relations(connection, one):
        if name not in theirs:
            found.append(f"{name} is not in {other}")
            continue
        query = sql.SQL(_DIFFERENCES).format(one=sql.Identifier(one, name), other=sql.Identifier(other, name))
        (count,) = connection.execute(query).fetchone() or (0,)
        if count:
            found.append(f"{count:,} rows of {name} are not the same in {one} and {other}")
    return found


def _relations(connection: Connection, schema: str) -> list[str]:
    rows = connection.execute(
        "select relname from pg_class "
        "where relnamespace = %s::regnamespace and relkind in ('r', 'm', 'v') and relname <> all(%s) order by relname",
        [schema, _LEFT_OUT],
    )
    return [name for (name,) in rows]
