"""Publishing: every materialized view goes from one refresh's numbers to the next's in one transaction."""

from psycopg import sql

from ingest.storage.connections import Connection

_PUBLISHED = """
    select standing.matviewname
    from pg_matviews as standing
    inner join regulars.published on standing.matviewname = published.name
    where
        standing.schemaname = 'analytics'
        -- One that reads a column which its mart has retired is replaced in this run: refreshed, it would show nothing.
        and not exists (
            select 1
            from pg_rewrite as rule
            inner join pg_depend as reading on reading.classid = 'pg_rewrite'::regclass and rule.oid = reading.objid
            inner join pg_attribute as read
                on reading.refobjid = read.attrelid and reading.refobjsubid = read.attnum
            where
                rule.ev_class = format('analytics.%I', standing.matviewname)::regclass
                and reading.refclassid = 'pg_class'::regclass
                and read.attname like '%\\_\\_old\\_%'
        )
    order by standing.matviewname
"""


def publish_all(connection: Connection) -> int:
    """Refreshes what the dashboard reads without making its readers wait; answers how many views there are.

    Those that have never been built are not touched: dbt makes them, of the marts as they are then.
    """
    with connection.transaction():
        # A policy that would hide rows raises instead of publishing nothing; short queries pay for no compiler.
        connection.execute("set local row_security = off; set local jit = off")
        names = [name for (name,) in connection.execute(_PUBLISHED)]
        for name in names:
            view = sql.Identifier("analytics", name)
            connection.execute(sql.SQL("refresh materialized view concurrently {}").format(view))
    return len(names)
