"""The relations in the database compared with the models: missing, left over, or not protected."""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from flows.building.project import Relation
from flows.lock import patiently
from flows.shapes import WORKING
from ingest.storage.connections import Connection

# What a refresh builds on: a working relation needs a unique index, and a published table its primary key.
_USABLE = """
    select
        class.relnamespace::regnamespace::text,
        class.relname,
        class.relkind::text
    from pg_class as class
    where
        class.relnamespace
        in (to_regnamespace('staging'), to_regnamespace('building'), to_regnamespace('analytics'))
        and (
            class.relkind = 'v'
            or exists (
                select 1
                from pg_index as index
                where
                    index.indrelid = class.oid
                    and index.indisunique
                    and index.indisvalid
                    and (index.indisprimary or class.relnamespace = to_regnamespace('building'))
            )
        )
"""

_DELTAS = "select relname from pg_class where relnamespace = 'regulars'::regnamespace and relname like 'delta\\_%'"

_STANDING = """
    select class.relnamespace::regnamespace::text, class.relname, class.relkind::text
    from pg_class as class
    where
        class.relnamespace in (
            to_regnamespace('analytics'),
            to_regnamespace('building'),
            to_regnamespace('staging'),
            to_regnamespace('dashboard')
        )
        and class.relkind in ('r', 'v', 'm', 'f', 'p')
    order by 1, 2
"""

# Views of owners that are not of models.
_NO_MODELS = {"customer_contacts", "shop_profiles", "freshness"}

_KINDS = {"r": "table", "m": "materialized view", "v": "view"}


def missing(connection: Connection, wanted: Sequence[Relation]) -> list[str]:
    """What a refresh needs and is missing: models, their keys, and the marts' delta tables."""
    usable = {Relation(*row) for row in connection.execute(_USABLE)}
    deltas = {name for (name,) in connection.execute(_DELTAS)}
    return [f"{relation.schema}.{relation.name}" for relation in wanted if relation not in usable] + [
        f"regulars.delta_{relation.name}"
        for relation in wanted
        if (relation.schema, relation.kind) == (WORKING, "r")
        and relation in usable
        and f"delta_{relation.name}" not in deltas
    ]


def left_over(connection: Connection, wanted: Sequence[Relation]) -> list[str]:
    """Relations in our schemas that no model makes: somebody else's, or kept because something reads them."""
    models = {(relation.schema, relation.name) for relation in wanted}
    shown = _NO_MODELS | {relation.name for relation in wanted if relation.schema == "analytics"}
    return [
        f"{schema}.{name}"
        for schema, name, _ in connection.execute(_STANDING)
        if schema != WORKING and (name not in shown if schema == "dashboard" else (schema, name) not in models)
    ]


def fix_guards(connection: Connection, *, patience: float) -> list[str]:
    """Restores the row-level security of published tables and the owners' views of them; returns what was wrong."""
    faults = connection.execute("select relation::text, fault from regulars.guard_faults()").fetchall()

    for relation in dict.fromkeys(relation for relation, _ in faults):

        def guard(relation: str = relation) -> None:
            connection.execute("select regulars.apply_row_security(%s::regclass)", [relation])

        patiently(connection, guard, relation=relation, patience=patience)
    return [f"{fault[0].upper()}{fault[1:]}: put right." for _, fault in faults]


def clear_working(connection: Connection, wanted: Sequence[Relation]) -> None:
    """Drops from the working schema, before a rebuild, what no model makes and what a killed dbt left behind."""
    models = {(relation.name, relation.kind) for relation in wanted if relation.schema == WORKING}
    for schema, name, kind in connection.execute(_STANDING).fetchall():
        if schema == WORKING and (name, kind) not in models and kind in _KINDS:
            connection.execute(
                sql.SQL("drop {} if exists {} cascade").format(sql.SQL(_KINDS[kind]), sql.Identifier(schema, name))
            )


def drop_left_over(connection: Connection, wanted: Sequence[Relation], *, patience: float) -> list[str]:
    """Drops what Regulars published and no model makes any more; returns what could not be, since something reads it.

    Relations that it did not make are left alone; `regulars status` names them.
    """
    ours = {name for (name,) in connection.execute("select name from regulars.published")}
    names = {relation.name for relation in wanted if relation.schema == "analytics"}
    gone = [
        (name, kind)
        for schema, name, kind in connection.execute(_STANDING)
        if schema == "analytics" and name not in names and name in ours
    ]
    kept: list[str] = []
    for name, kind in gone:

        def drop(name: str = name, kind: str = kind) -> None:
            _drop(connection, name, kind)

        try:
            patiently(connection, drop, relation=f"analytics.{name}", patience=patience)
        except psycopg.errors.DependentObjectsStillExist as error:
            kept.append(f"No model makes analytics.{name} any more, but {readers(error)}.")
    return kept


def readers(error: psycopg.Error) -> str:
    """What reads the relation or column that PostgreSQL refused to drop: names, and no data."""
    return "; ".join((error.diag.message_detail or "something reads it").splitlines())


def _drop(connection: Connection, name: str, kind: str) -> None:
    connection.execute(sql.SQL("drop view if exists {}").format(sql.Identifier("dashboard", name)))
    connection.execute(sql.SQL("drop {} {}").format(sql.SQL(_KINDS[kind]), sql.Identifier("analytics", name)))
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("regulars", f"delta_{name}")))
    connection.execute("delete from regulars.published where name = %s", [name])
    connection.execute("delete from regulars.delta_offsets where model = %s", [name])
