"""What a database holds: its tables, how many rows each has, and a sum over all of their columns."""

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import sql

from ingest.storage.connections import Connection

# Rows are added up as text, so both sides must write a value alike.
SAME_TEXT = (
    "set local timezone = 'UTC'; set local datestyle = 'ISO'; set local intervalstyle = 'postgres'; "
    "set local extra_float_digits = 1; set local bytea_output = 'hex'; "
)

# Not materialized views: the target computes them from the tables, and some hold the moment of that.
_TABLES = """
    select namespace.nspname, class.relname
    from pg_class as class
    inner join pg_namespace as namespace on class.relnamespace = namespace.oid
    where
        class.relkind = 'r'
        and class.relpersistence <> 't'
        and namespace.nspname <> 'information_schema'
        and namespace.nspname not like 'pg\\_%'
        and not exists (
            select 1
            from pg_depend as part
            where part.classid = 'pg_class'::regclass and part.objid = class.oid and part.deptype = 'e'
        )
    order by namespace.nspname, class.relname
"""

# The sum doesn't depend on the order of the rows.
_SUMS = sql.SQL("count(*), coalesce(sum(hashtextextended((rows.*)::text, 0)), 0)")

_COMPARE = """
    create function pg_temp.compare(
        relation text, wanted_rows bigint, wanted_sum numeric, found_rows bigint, found_sum numeric
    ) returns void
    language plpgsql
    as $$
    begin
        if found_rows <> wanted_rows then
            raise exception '% has % rows on the target, and % on the source', relation, found_rows, wanted_rows;
        end if;
        if found_sum <> wanted_sum then
            raise exception 'the rows of % differ on the target from those on the source', relation;
        end if;
    end
    $$;
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table and what is in it. `checksum` is a sum over every column of every row."""

    schema: str
    name: str
    rows: int
    checksum: int

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


def table_names(connection: Connection) -> list[sql.Identifier]:
    """Every table of the database."""
    return [sql.Identifier(*row) for row in connection.execute(_TABLES)]


def add_up(connection: Connection, *, on_table: Callable[[str], None] = lambda _: None) -> list[Table]:
    """Counts and adds up every table, within the transaction that is open."""
    connection.execute(SAME_TEXT)
    tables = []
    for schema, name in connection.execute(_TABLES).fetchall():
        on_table(f"{schema}.{name}")
        query = sql.SQL("select {} from {} as rows").format(_SUMS, sql.Identifier(schema, name))
        rows, checksum = connection.execute(query).fetchone() or (0, 0)
        tables.append(Table(schema, name, rows, int(checksum)))
    return tables


def comparison(tables: list[Table]) -> str:
    """SQL that raises, within a transaction that began with SAME_TEXT, if a table holds anything else."""
    calls = [
        sql.SQL("select pg_temp.compare({}, {}, {}, {}) from {} as rows;\n").format(
            sql.Literal(table.full_name),
            sql.Literal(table.rows),
            sql.Literal(table.checksum),
            _SUMS,
            sql.Identifier(table.schema, table.name),
        )
        for table in tables
    ]
    return _COMPARE + sql.Composed(calls).as_string()
