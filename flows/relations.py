"""The relations that stand, held against the models: what is missing, left over, unguarded or of other columns.

Whatever changes something that readers may be reading does so in a short transaction of its own, which takes its
locks in the readers' order (a view, then what it reads) and gives up and tries again rather than let them queue.
"""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from flows.lock import patiently
from flows.project import Mart, Relation
from ingest.storage.connections import Connection

# A mart or view without the index that its refresh needs is no better than none.
_USABLE = """
    select
        class.relnamespace::regnamespace::text,
        class.relname,
        class.relkind::text
    from pg_class as class
    where
        class.relnamespace in (to_regnamespace('analytics'), to_regnamespace('staging'))
        and (
            class.relkind = 'v'
            or exists (
                select 1
                from pg_index as index
                where
                    index.indrelid = class.oid
                    and index.indisunique
                    and index.indisvalid
                    and (index.indisprimary or class.relkind = 'm')
            )
        )
"""

_DELTAS = "select relname from pg_class where relnamespace = 'regulars'::regnamespace and relname like 'delta\\_%'"

_STANDING = """
    select class.relnamespace::regnamespace::text, class.relname, class.relkind::text
    from pg_class as class
    where
        class.relnamespace in (to_regnamespace('analytics'), to_regnamespace('staging'), to_regnamespace('dashboard'))
        and class.relkind in ('r', 'v', 'm', 'f', 'p')
    order by 1, 2
"""

_OURS = "select 'm', name from regulars.published union all select 'r', model from regulars.delta_offsets"

# What owners see that is no model.
_NO_MODELS = {"customer_contacts", "shop_profiles", "freshness"}

_COLUMNS = """
    select attribute.attname, format_type(attribute.atttypid, attribute.atttypmod), attribute.attnotnull
    from pg_attribute as attribute
    where
        attribute.attrelid = to_regclass(%s)
        and attribute.attnum > 0
        and not attribute.attisdropped
"""


def missing(connection: Connection, wanted: Sequence[Relation]) -> list[str]:
    """What a refresh would build on and is not there: models, their keys, and where marts write their changes."""
    usable = {Relation(*row) for row in connection.execute(_USABLE)}
    deltas = {name for (name,) in connection.execute(_DELTAS)}
    return [f"{relation.schema}.{relation.name}" for relation in wanted if relation not in usable] + [
        f"regulars.delta_{relation.name}"
        for relation in wanted
        if relation.kind == "r" and relation in usable and f"delta_{relation.name}" not in deltas
    ]


def forget_unusable_views(connection: Connection) -> None:
    """Lets dbt build anew the materialized views that can't be refreshed under readers, for want of a unique index."""
    usable = [name for _, name, kind in connection.execute(_USABLE) if kind == "m"]
    connection.execute("delete from regulars.published where name <> all(%s)", [usable])


def left_over(connection: Connection, wanted: Sequence[Relation]) -> list[str]:
    """What stands in our schemas and no model makes: somebody else's, or kept because something reads it."""
    models = {(relation.schema, relation.name) for relation in wanted}
    shown = _NO_MODELS | {relation.name for relation in wanted if relation.schema == "analytics"}
    return [
        f"{schema}.{name}"
        for schema, name, _ in connection.execute(_STANDING)
        if (name not in shown if schema == "dashboard" else (schema, name) not in models)
    ]


def mend_guards(connection: Connection, *, patience: float) -> list[str]:
    """Puts right the row-level security of each mart and the view of each model for owners; answers what was wrong."""
    faults = connection.execute("select relation::text, fault from regulars.guard_faults()").fetchall()

    for relation in dict.fromkeys(relation for relation, _ in faults):

        def guard(relation: str = relation) -> None:
            connection.execute("select regulars.apply_row_security(%s::regclass)", [relation])

        patiently(connection, guard, relation=relation, patience=patience)
    return [f"{fault[0].upper()}{fault[1:]}: put right." for _, fault in faults]


def prepare_columns(connection: Connection, marts: Sequence[Mart], *, patience: float) -> None:
    """Makes room in the marts that stand for what their models want now, before they are filled.

    A column that is new, or of a new type, is added under the name `<column>__next`, which owners are not shown, and
    takes its name in the transaction that filled it (`regulars.take_columns`). One that the model has no more must
    take rows without it until then. A key that is no longer the model's would refuse its rows, and goes.
    """
    for mart in marts:
        table = f"analytics.{mart.name}"
        found = {
            name: (data_type, is_required) for name, data_type, is_required in connection.execute(_COLUMNS, [table])
        }
        if not found:
            continue
        wanted = {column.name: column.data_type for column in mart.columns}
        changed = {name for name, data_type in wanted.items() if found.get(name, ("",))[0] != data_type}
        changes: list[sql.Composable] = []
        if (key := _key(connection, mart)) and (tuple(key[1]) != mart.key or changed.intersection(key[1])):
            changes.append(sql.SQL("drop constraint {}").format(sql.Identifier(key[0])))
        for name in changed:
            coming = f"{name}__next"
            if coming in found and found[coming][0] != wanted[name]:
                changes.append(sql.SQL("drop column {}").format(sql.Identifier(coming)))
            if coming not in found or found[coming][0] != wanted[name]:
                # The type is our own contract's, and no name that could be quoted.
                changes.append(sql.SQL("add column {} {}").format(sql.Identifier(coming), sql.SQL(wanted[name])))
        changes += [
            sql.SQL("drop column {}").format(sql.Identifier(name))
            for name in found
            if name.endswith("__next") and name.removesuffix("__next") not in changed
        ]
        changes += [
            sql.SQL("alter column {} drop not null").format(sql.Identifier(name))
            for name, (_, is_required) in found.items()
            if is_required and (name not in wanted or name in changed)
        ]
        if changes:
            _alter(connection, table, changes, patience=patience)


def settle_columns(connection: Connection, marts: Sequence[Mart], *, patience: float) -> list[str]:
    """After the marts and all that reads them were built: drops retired columns, and requires what the models require.

    Answers what could not be dropped, since something reads it.
    """
    kept: list[str] = []
    for mart in marts:
        table = f"analytics.{mart.name}"
        required = {column.name for column in mart.columns if column.is_required}
        for name, _, is_required in connection.execute(_COLUMNS, [table]).fetchall():
            if "__old_" in name:
                try:
                    drop = sql.SQL("drop column {}").format(sql.Identifier(name))
                    _alter(connection, table, [drop], patience=patience)
                except psycopg.errors.DependentObjectsStillExist as error:
                    kept.append(f"No model makes analytics.{mart.name}.{name} any more, but {_readers(error)}.")
            elif name in required and not is_required:
                _require(connection, table, name, patience=patience)
    return kept


def drop_left_over(connection: Connection, wanted: Sequence[Relation], *, patience: float) -> list[str]:
    """Drops what Regulars made and no model makes any more; answers what could not be, since something reads it.

    What it did not make is left alone: `regulars status` names it.
    """
    ours = set(connection.execute(_OURS).fetchall())
    names = {relation.name for relation in wanted if relation.schema == "analytics"}
    gone = [
        (name, kind)
        for schema, name, kind in connection.execute(_STANDING)
        if schema == "analytics" and name not in names and (kind, name) in ours
    ]
    # One may read another: as often as one goes, another may follow.
    kept: dict[str, str] = {}
    while gone:
        kept = {}
        for name, kind in gone:

            def drop(name: str = name, kind: str = kind) -> None:
                _drop(connection, name, kind)

            try:
                patiently(connection, drop, relation=f"analytics.{name}", patience=patience)
            except psycopg.errors.DependentObjectsStillExist as error:
                kept[name] = f"No model makes analytics.{name} any more, but {_readers(error)}."
        if len(kept) == len(gone):
            break
        gone = [(name, kind) for name, kind in gone if name in kept]
    return list(kept.values())


def _drop(connection: Connection, name: str, kind: str) -> None:
    what = sql.SQL("materialized view" if kind == "m" else "table")
    connection.execute(sql.SQL("drop view if exists {}").format(sql.Identifier("dashboard", name)))
    connection.execute(sql.SQL("drop {} {}").format(what, sql.Identifier("analytics", name)))
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("regulars", f"delta_{name}")))
    connection.execute("delete from regulars.published where name = %s", [name])
    connection.execute("delete from regulars.delta_offsets where model = %s", [name])


def _key(connection: Connection, mart: Mart) -> tuple[str, list[str]] | None:
    row = connection.execute(
        """
        select held.conname::text, array_agg(attribute.attname::text order by place.number)
        from pg_constraint as held
        cross join unnest(held.conkey) with ordinality as place (attnum, number)
        inner join pg_attribute as attribute
            on held.conrelid = attribute.attrelid and place.attnum = attribute.attnum
        where held.conrelid = to_regclass(%s) and held.contype = 'p'
        group by held.conname
        """,
        [f"analytics.{mart.name}"],
    ).fetchone()
    return (row[0], row[1]) if row else None


def _require(connection: Connection, table: str, name: str, *, patience: float) -> None:
    """Checks the rows under a lock that readers don't feel; `set not null` then need not look at them again."""
    check, column = sql.Identifier(f"{name}__is_there"), sql.Identifier(name)
    added = sql.SQL("add constraint {} check ({} is not null) not valid").format(check, column)
    forgotten = sql.SQL("drop constraint if exists {}").format(check)
    _alter(connection, table, [forgotten], patience=patience)
    _alter(connection, table, [added], patience=patience)
    connection.execute(sql.SQL("alter table {} validate constraint {}").format(_named(table), check))
    _alter(connection, table, [sql.SQL("alter column {} set not null").format(column)], patience=patience)
    _alter(connection, table, [forgotten], patience=patience)


def _alter(connection: Connection, table: str, changes: Sequence[sql.Composable], *, patience: float) -> None:
    def alter() -> None:
        connection.execute(sql.SQL("alter table {} {}").format(_named(table), sql.SQL(", ").join(changes)))

    patiently(connection, alter, relation=table, patience=patience)


def _named(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


def _readers(error: psycopg.Error) -> str:
    """Of what depends on something that can't be dropped: names of relations, and no data."""
    return "; ".join((error.diag.message_detail or "something reads it").splitlines())
