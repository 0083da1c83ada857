"""The shape of the relations in a schema, as the database has it: columns, indexes and keys."""

from dataclasses import dataclass, field

from psycopg import sql

from ingest.storage.connections import Connection

# dbt builds and tests here, and nobody else reads it.
WORKING = "building"

# What owners and analysts read: copies of the working relations, all as of one moment.
PUBLISHED = "analytics"

# Columns that say when a row was computed: equal computations differ in nothing else.
MOMENTS = ("refreshed_at",)

_COLUMNS = """
    select
        class.relname,
        class.relkind::text,
        attribute.attname,
        format_type(attribute.atttypid, attribute.atttypmod),
        attribute.attnotnull
    from pg_class as class
    inner join pg_attribute as attribute on class.oid = attribute.attrelid
    where
        class.relnamespace = to_regnamespace(%s)
        and class.relkind in ('r', 'm')
        and attribute.attnum > 0
        and not attribute.attisdropped
    order by class.relname, attribute.attnum
"""

# Only indexes on plain columns; we make no others.
_INDEXES = """
    select
        class.relname,
        index_class.relname,
        index.indisprimary,
        index.indisvalid,
        index.indisunique,
        method.amname,
        (
            select array_agg(attribute.attname::text order by place.number)
            from unnest(index.indkey::int2[]) with ordinality as place (attnum, number)
            left join pg_attribute as attribute
                on index.indrelid = attribute.attrelid and place.attnum = attribute.attnum
        )
    from pg_class as class
    inner join pg_index as index on class.oid = index.indrelid
    inner join pg_class as index_class on index.indexrelid = index_class.oid
    inner join pg_am as method on index_class.relam = method.oid
    where
        class.relnamespace = to_regnamespace(%s)
        and class.relkind in ('r', 'm')
        and index.indpred is null
        and index.indexprs is null
    order by class.relname, index_class.relname
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, its type as PostgreSQL prints it."""

    name: str
    data_type: str
    is_required: bool


@dataclass(frozen=True, slots=True)
class Index:
    """An index without its name."""

    columns: tuple[str, ...]
    is_unique: bool = False
    method: str = "btree"


@dataclass(frozen=True, slots=True)
class NamedIndex:
    """An index in the database."""

    name: str
    index: Index
    is_primary: bool
    is_valid: bool


@dataclass(slots=True)
class Shape:
    """A table or materialized view. `kind` is PostgreSQL's relkind."""

    schema: str
    name: str
    kind: str
    columns: list[Column] = field(default_factory=list)
    indexes: list[NamedIndex] = field(default_factory=list)

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of its primary key or, where it has none, of its unique index."""
        unique = [held for held in self.indexes if held.index.is_unique and held.is_valid]
        for held in sorted(unique, key=lambda held: not held.is_primary):
            return held.index.columns
        raise LookupError(f"{self.schema}.{self.name} has no unique index")


def shapes(connection: Connection, schema: str) -> dict[str, Shape]:
    """The tables and materialized views of a schema, by name."""
    found: dict[str, Shape] = {}
    for name, kind, column, data_type, is_required in connection.execute(_COLUMNS, [schema]):
        shape = found.setdefault(name, Shape(schema, name, kind))
        shape.columns.append(Column(column, data_type, is_required))
    for name, index, is_primary, is_valid, is_unique, method, columns in connection.execute(_INDEXES, [schema]):
        found[name].indexes.append(NamedIndex(index, Index(tuple(columns), is_unique, method), is_primary, is_valid))
    return found
