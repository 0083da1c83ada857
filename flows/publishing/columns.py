"""Gives published tables the columns of the working ones, without delaying readers.

Each change is a short transaction of its own. It takes its locks in the readers' order (a view, then what it reads),
and gives up and tries again before readers queue.
"""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from flows.lock import patiently
from flows.publishing.relations import readers
from flows.shapes import Shape
from ingest.storage.connections import Connection


def prepare_columns(connection: Connection, table: Shape, working: Shape, *, patience: float) -> None:
    """Makes room in a published table for the columns of the working one, before it is filled.

    A column that is new, or of a new type, is added under the name `<column>__next`, which owners are not shown, and
    takes its name in the transaction that fills it (`regulars.take_shape`). A column that the model no longer has
    becomes nullable until then. A key that is no longer the model's would refuse its rows, and is dropped.
    """
    found = {column.name: column for column in table.columns}
    wanted = {column.name: column for column in working.columns}
    changed = {
        name for name, column in wanted.items() if name not in found or found[name].data_type != column.data_type
    }
    changes: list[sql.Composable] = []
    for held in table.indexes:
        if held.is_primary and (held.index.columns != working.key or changed.intersection(held.index.columns)):
            changes.append(sql.SQL("drop constraint {}").format(sql.Identifier(held.name)))
    for name in changed:
        coming, data_type = f"{name}__next", wanted[name].data_type
        if coming in found and found[coming].data_type != data_type:
            changes.append(sql.SQL("drop column {}").format(sql.Identifier(coming)))
        if coming not in found or found[coming].data_type != data_type:
            # The type is PostgreSQL's own name for it.
            changes.append(sql.SQL("add column {} {}").format(sql.Identifier(coming), sql.SQL(data_type)))
    changes += [
        sql.SQL("drop column {}").format(sql.Identifier(name))
        for name in found
        if name.endswith("__next") and name.removesuffix("__next") not in changed
    ]
    changes += [
        sql.SQL("alter column {} drop not null").format(sql.Identifier(name))
        for name, column in found.items()
        if column.is_required and (name not in wanted or name in changed)
    ]
    if changes:
        _alter(connection, table, changes, patience=patience)


def settle_columns(connection: Connection, table: Shape, working: Shape, *, patience: float) -> list[str]:
    """After the table was filled: drops retired columns, and requires what the model requires.

    Returns what could not be dropped, because something reads it.
    """
    kept: list[str] = []
    required = {column.name for column in working.columns if column.is_required} | set(working.key)
    for column in table.columns:
        if "__old_" in column.name:
            try:
                drop = sql.SQL("drop column {}").format(sql.Identifier(column.name))
                _alter(connection, table, [drop], patience=patience)
            except psycopg.errors.DependentObjectsStillExist as error:
                kept.append(f"No model makes {table.schema}.{table.name}.{column.name} any more, but {readers(error)}.")
        elif column.name in required and not column.is_required:
            _require(connection, table, column.name, patience=patience)
    return kept


def _require(connection: Connection, table: Shape, name: str, *, patience: float) -> None:
    """Checks the rows under a lock that doesn't delay readers; `set not null` then doesn't read them again."""
    check, column = sql.Identifier(f"{name}__is_there"), sql.Identifier(name)
    added = sql.SQL("add constraint {} check ({} is not null) not valid").format(check, column)
    forgotten = sql.SQL("drop constraint if exists {}").format(check)
    _alter(connection, table, [forgotten], patience=patience)
    _alter(connection, table, [added], patience=patience)
    connection.execute(sql.SQL("alter table {} validate constraint {}").format(table.identifier, check))
    _alter(connection, table, [sql.SQL("alter column {} set not null").format(column)], patience=patience)
    _alter(connection, table, [forgotten], patience=patience)


def _alter(connection: Connection, table: Shape, changes: Sequence[sql.Composable], *, patience: float) -> None:
    def alter() -> None:
        connection.execute(sql.SQL("alter table {} {}").format(table.identifier, sql.SQL(", ").join(changes)))

    patiently(connection, alter, relation=f"{table.schema}.{table.name}", patience=patience)
