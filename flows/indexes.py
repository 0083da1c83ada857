"""The marts' indexes and primary keys: what stands is brought to what the models want, under readers and writers."""

import hashlib
from collections.abc import Sequence

from psycopg import sql

from flows.lock import patiently
from flows.project import Index, Mart
from ingest.storage.connections import Connection

# Those on whole columns: any other is nobody's of ours.
_STANDING = """
    select
        class.relname,
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
    from pg_index as index
    inner join pg_class as class on index.indexrelid = class.oid
    inner join pg_am as method on class.relam = method.oid
    where
        index.indrelid = to_regclass(%s)
        and index.indpred is null
        and index.indexprs is null
"""


def settle_indexes(connection: Connection, marts: Sequence[Mart], *, patience: float) -> None:
    """Makes what is missing and drops what no model wants, concurrently; then each mart gets its primary key.

    Only indexes of ours are dropped: dbt and this module name theirs by a hash. `connection` is in autocommit.
    Raises LockNotAvailable, and leaves nothing half made that the next run would not mend.
    """
    for mart in marts:
        _settle(connection, mart)
        _set_key(connection, mart, patience=patience)


def drop_unwanted_keys(connection: Connection, marts: Sequence[Mart]) -> None:
    """Drops unique indexes that no model wants: they would refuse the rows of a mart whose key has changed."""
    for mart in marts:
        for name, is_primary, _, index in _standing(connection, mart):
            if index.is_unique and not is_primary and index not in mart.indexes and _is_ours(name):
                _drop(connection, name)


def _settle(connection: Connection, mart: Mart) -> None:
    standing = _standing(connection, mart)
    for name, is_primary, is_valid, index in standing:
        if not is_primary and _is_ours(name) and (index not in mart.indexes or not is_valid):
            _drop(connection, name)
    held = {index for _, _, is_valid, index in standing if is_valid}
    for index in mart.indexes:
        if index not in held:
            connection.execute(
                sql.SQL("create {} index concurrently {} on {} using {} ({})").format(
                    sql.SQL("unique" if index.is_unique else ""),
                    sql.Identifier(_name(mart, index)),
                    sql.Identifier("analytics", mart.name),
                    sql.Identifier(index.method),
                    sql.SQL(", ").join(map(sql.Identifier, index.columns)),
                )
            )


def _set_key(connection: Connection, mart: Mart, *, patience: float) -> None:
    """The unique index of the key becomes the primary key: in a moment, as it stands and its columns are required."""
    standing = _standing(connection, mart)
    if any(is_primary for _, is_primary, _, _ in standing):
        return
    for name, _, _, index in standing:
        if index.is_unique and index.columns == mart.key:

            def set_key(name: str = name) -> None:
                connection.execute(
                    sql.SQL("alter table {} add constraint {} primary key using index {}").format(
                        sql.Identifier("analytics", mart.name),
                        sql.Identifier(f"{mart.name}_pkey"),
                        sql.Identifier(name),
                    )
                )

            patiently(connection, set_key, relation=f"analytics.{mart.name}", patience=patience)
            return


def _standing(connection: Connection, mart: Mart) -> list[tuple[str, bool, bool, Index]]:
    rows = connection.execute(_STANDING, [f"analytics.{mart.name}"]).fetchall()
    return [
        (name, is_primary, is_valid, Index(tuple(columns), is_unique, method))
        for name, is_primary, is_valid, is_unique, method, columns in rows
    ]


def _drop(connection: Connection, name: str) -> None:
    connection.execute(sql.SQL("drop index concurrently if exists {}").format(sql.Identifier("analytics", name)))


def _is_ours(name: str) -> bool:
    return len(name) == 32 and not name.strip("0123456789abcdef")


def _name(mart: Mart, index: Index) -> str:
    """As dbt names those that it makes with a table, so that all of ours look alike."""
    return hashlib.md5(f"{mart.name} {index}".encode(), usedforsecurity=False).hexdigest()
