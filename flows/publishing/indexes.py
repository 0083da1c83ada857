"""Gives published tables the indexes and keys of the working ones, while they are read."""

import hashlib

from psycopg import sql

from flows.lock import patiently
from flows.shapes import PUBLISHED, Index, Shape
from ingest.storage.connections import Connection


def settle_indexes(
    connection: Connection, published: dict[str, Shape], working: dict[str, Shape], *, patience: float
) -> None:
    """Creates missing indexes and drops those that no model has, concurrently; then adds each table's primary key.

    Only indexes of ours are dropped: they are named by a hash. `connection` is in autocommit. Raises LockNotAvailable;
    the next run finishes what was begun.
    """
    for name, shape in working.items():
        if (table := published.get(name)) is not None:
            _settle(connection, table, wanted=[held.index for held in shape.indexes])
            _set_key(connection, table, key=shape.key, patience=patience)


def drop_unwanted_keys(connection: Connection, table: Shape, working: Shape) -> None:
    """Drops unique indexes that no model has: they would refuse the rows of a table whose key has changed."""
    wanted = {held.index for held in working.indexes}
    for held in table.indexes:
        if held.index.is_unique and not held.is_primary and held.index not in wanted and _is_ours(held.name):
            _drop(connection, held.name)


def _settle(connection: Connection, table: Shape, *, wanted: list[Index]) -> None:
    for held in list(table.indexes):
        if not held.is_primary and _is_ours(held.name) and (held.index not in wanted or not held.is_valid):
            _drop(connection, held.name)
            table.indexes.remove(held)
    there = {held.index for held in table.indexes}
    for index in wanted:
        if index not in there:
            connection.execute(
                sql.SQL("create {} index concurrently {} on {} using {} ({})").format(
                    sql.SQL("unique" if index.is_unique else ""),
                    sql.Identifier(_name(table, index)),
                    table.identifier,
                    sql.Identifier(index.method),
                    sql.SQL(", ").join(map(sql.Identifier, index.columns)),
                )
            )


def _set_key(connection: Connection, table: Shape, *, key: tuple[str, ...], patience: float) -> None:
    """Makes the unique index of the key the primary key. It is quick: the index exists and its columns are not null."""
    if any(held.is_primary for held in table.indexes):
        return
    wanted = Index(key, is_unique=True)
    name = next((held.name for held in table.indexes if held.index == wanted), _name(table, wanted))

    def set_key() -> None:
        connection.execute(
            sql.SQL("alter table {} add constraint {} primary key using index {}").format(
                table.identifier, sql.Identifier(f"{table.name}_pkey"), sql.Identifier(name)
            )
        )

    patiently(connection, set_key, relation=f"{table.schema}.{table.name}", patience=patience)


def _drop(connection: Connection, name: str) -> None:
    connection.execute(sql.SQL("drop index concurrently if exists {}").format(sql.Identifier(PUBLISHED, name)))


def _is_ours(name: str) -> bool:
    return len(name) == 32 and not name.strip("0123456789abcdef")


def _name(table: Shape, index: Index) -> str:
    """A name like those of dbt's own indexes."""
    return hashlib.md5(f"{table.name} {index}".encode(), usedforsecurity=False).hexdigest()
