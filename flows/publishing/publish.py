"""Publishing: everything that owners and analysts read changes from one moment to the next in one transaction.

dbt builds and tests in schema `building`. Each working relation has a published copy in `analytics`. A refresh applies
each mart's delta to its copy. The dashboard's views, which are small, and recomputed models are compared as a whole.
"""

from collections.abc import Collection, Sequence

import psycopg
from psycopg import sql

from flows import history
from flows.errors import NotPublished
from flows.history import Refresh
from flows.lock import patiently
from flows.nodes import RowsChanged
from flows.publishing.columns import prepare_columns
from flows.publishing.indexes import drop_unwanted_keys
from flows.publishing.reconcile import reconcile
from flows.publishing.relations import readers
from flows.shapes import PUBLISHED, WORKING, Shape, shapes
from ingest.storage.connections import Connection

# For the transaction: a policy that would hide rows raises instead of publishing nothing; short queries aren't
# compiled.
_SESSION = "set local row_security = off; set local jit = off"

# A key's last row in the delta is the working mart's present row, if its weight is 1. So the deltas of earlier, failed
# refreshes are netted.
_REMOVE_CHANGED = """
    delete from {published} as published
    using (select distinct {key} from {delta}) as changed
    where {is_same_key}
"""
_ADD_CHANGED = """
    insert into {published} ({columns})
    select {columns}
    from (select distinct on ({key}) * from {delta} order by {key}, delta_id desc) as changed
    where weight = 1
"""

# Two queries instead of one statement: PostgreSQL runs queries on several cores, deletions and insertions on one. Rows
# to remove are identified by ctid, because a key column of a new type is still empty.
_FIND_DIFFERENT = """
    create temporary table different on commit drop as
    select {changed_key}, published.ctid as place
    from {working} as changed
    left join {published} as published on {is_same_key}
    where ({published_columns}) is distinct from ({working_columns});
    analyze different;
    create temporary table gone on commit drop as
    select published.ctid as place
    from {published} as published
    where not exists (select 1 from {working} as changed where {is_same_key});
    analyze gone
"""
_REMOVE_DIFFERENT = """
    delete from {published}
    where ctid in (select place from different union all select place from gone)
"""
# If somebody has added a key twice, one of the rows may be right. `replace_rows` says why it is sorted.
_ADD_DIFFERENT = """
    insert into {published} ({targets})
    select {working_columns}
    from {working} as changed
    inner join (select distinct {key} from different) as different using ({key})
    where not exists (select 1 from {published} as published where {is_same_key})
    order by {changed_key}
"""
_FORGET_DIFFERENT = "drop table different, gone"


def publish_all(
    connection: Connection,
    refresh: Refresh,
    *,
    recomputed: Collection[str],
    budget: int,
    has_work: bool,
    warnings: list[str],
    patience: float,
) -> tuple[Refresh, dict[str, RowsChanged]]:
    """Publishes what was built, reconciles it, empties the batch and the deltas, and closes the refresh as succeeded.

    Returns the closed refresh and, by relation, how many rows changed for readers.

    It is one transaction: until it commits readers see the former moment, and then all of the new one. `recomputed`:
    the models that were computed in full. `budget`: how many orders' worth of shops are reconciled. `patience`: how
    many seconds it waits for owners who read. Raises NotReconciled, NotPublished and Blocked; then everything is left
    as it was.
    """
    may_change_shape = refresh.mode != "refresh"
    try:
        with connection.transaction():
            connection.execute(_SESSION)
            # Before the check, which leaves out the keys in the batch.
            connection.execute("delete from regulars.batch")
            rows = _fill(connection, recomputed) if has_work else {}
            # A published table whose columns change can't be read by its new names before the end. It was compared
            # whole with the working one, so the working ones are reconciled instead.
            reconcile(connection, schema=WORKING if may_change_shape else PUBLISHED, budget=budget)
            if may_change_shape:
                _take_shape(connection, patience=patience)
                connection.execute("select regulars.revoke_from_strangers()")
            return history.succeed(connection, refresh.refresh_id, warnings=warnings), rows
    except (psycopg.errors.RaiseException, psycopg.IntegrityError) as error:
        hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
        raise NotPublished(f"Nothing was published: {error.diag.message_primary}.{hint}") from None


def prepare(connection: Connection, *, patience: float) -> None:
    """Makes room in the published tables for changed models, after those were built and tested.

    Readers neither notice nor wait. Raises NotPublished, which names what is in the way.
    """
    working = shapes(connection, WORKING)
    try:
        for name, table in shapes(connection, PUBLISHED).items():
            if name in working:
                prepare_columns(connection, table, working[name], patience=patience)
                drop_unwanted_keys(connection, table, working[name])
    except psycopg.errors.DependentObjectsStillExist as error:
        raise NotPublished(
            f"Nothing was published: {error.diag.message_primary}: {readers(error)}. Drop it, and run it again."
        ) from None


def _fill(connection: Connection, recomputed: Collection[str]) -> dict[str, RowsChanged]:
    published = shapes(connection, PUBLISHED)
    rows = {}
    for name, working in shapes(connection, WORKING).items():
        if (table := published.get(name)) is None:
            rows[name] = _create(connection, working)
        elif working.kind == "r" and name not in recomputed:
            rows[name] = _apply_delta(connection, working)
        else:
            rows[name] = _copy_differences(connection, working, table)
    return rows


def _create(connection: Connection, working: Shape) -> RowsChanged:
    """Creates a table, which nobody reads yet; its other indexes follow when it is published."""
    table = sql.Identifier(PUBLISHED, working.name)
    columns = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name), sql.SQL(column.data_type), sql.SQL(" not null" if column.is_required else "")
        )
        for column in working.columns
    ]
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(PUBLISHED)))
    connection.execute(sql.SQL("create table {} ({})").format(table, sql.SQL(", ").join(columns)))
    copied = connection.execute(sql.SQL("insert into {} select * from {}").format(table, working.identifier))
    connection.execute(sql.SQL("alter table {} add primary key ({})").format(table, _listed(working.key)))
    connection.execute("select regulars.apply_row_security(%s::regclass)", [table.as_string()])
    return RowsChanged(added=copied.rowcount, removed=0)


def _apply_delta(connection: Connection, working: Shape) -> RowsChanged:
    parts = {
        "published": sql.Identifier(PUBLISHED, working.name),
        "delta": sql.Identifier("regulars", f"delta_{working.name}"),
        "key": _listed(working.key),
        "columns": _listed([column.name for column in working.columns]),
        "is_same_key": _is_same_key(working.key, working.key),
    }
    removed, added = (
        connection.execute(sql.SQL(statement).format(**parts)).rowcount for statement in (_REMOVE_CHANGED, _ADD_CHANGED)
    )
    return RowsChanged(added=added, removed=removed)


def _copy_differences(connection: Connection, working: Shape, table: Shape) -> RowsChanged:
    there = {column.name for column in table.columns}
    columns = [column.name for column in working.columns]
    # See prepare_columns: a column that is new, or of a new type, is filled under a temporary name.
    targets = {name: f"{name}__next" if f"{name}__next" in there else name for name in columns}
    parts = {
        "published": table.identifier,
        "working": working.identifier,
        "targets": _listed(list(targets.values())),
        "working_columns": _listed(columns, of="changed"),
        "published_columns": _listed(list(targets.values()), of="published"),
        "key": _listed(working.key),
        "changed_key": _listed(working.key, of="changed"),
        "is_same_key": _is_same_key(working.key, [targets[name] for name in working.key]),
    }
    connection.execute(sql.SQL(_FIND_DIFFERENT).format(**parts))
    removed, added = (
        connection.execute(sql.SQL(statement).format(**parts)).rowcount
        for statement in (_REMOVE_DIFFERENT, _ADD_DIFFERENT)
    )
    connection.execute(_FORGET_DIFFERENT)
    return RowsChanged(added=added, removed=removed)


def _take_shape(connection: Connection, *, patience: float) -> None:
    """Last, since readers wait for its locks until the transaction commits."""
    published = shapes(connection, PUBLISHED)
    if any(column.name.endswith("__next") for table in published.values() for column in table.columns):
        _keep_owners_out(connection, patience=patience)
    for name in shapes(connection, WORKING):
        connection.execute("insert into regulars.published (name) values (%s) on conflict do nothing", [name])
        relations = [sql.Identifier(schema, name).as_string() for schema in (PUBLISHED, WORKING)]
        connection.execute("select regulars.copy_comments(%s::regclass, %s::regclass)", relations)
    connection.execute("select regulars.take_shape()")


def _keep_owners_out(connection: Connection, *, patience: float) -> None:
    """Waits until no owner reads, and makes new ones wait for the end of the transaction.

    A snapshot from before this transaction's end would find a renamed column empty. So each owner's transaction begins
    with a lock on this view (`Reader`), and altering the view, without any change, keeps that lock from them.
    """

    def lock() -> None:
        connection.execute("alter view dashboard.freshness set (security_barrier = true)")

    patiently(connection, lock, relation="dashboard.freshness", patience=patience)
    # Which `patiently` has set for the rest of this transaction.
    connection.execute("select set_config('lock_timeout', %s, true)", [f"{round(patience * 1000)}ms"])


def _listed(names: Sequence[str], *, of: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*([of] if of else []), name) for name in names)


def _is_same_key(changed: Sequence[str], published: Sequence[str]) -> sql.Composed:
    return sql.SQL(" and ").join(
        sql.SQL("published.{} = changed.{}").format(sql.Identifier(target), sql.Identifier(name))
        for name, target in zip(changed, published, strict=True)
    )
