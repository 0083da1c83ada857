"""Runs queries on the views of schema `dashboard`. The fields of a model are the SELECT list."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, LiteralString, TypeVar
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ingest.storage.connections import Connection
from regulars.dashboard.errors import NotCountedYet
from regulars.dashboard.schemas import Row, Shop, Sql

Model = TypeVar("Model", bound=Row)
Parameters = Sequence[Any] | Mapping[str, Any]


def select(
    connection: Connection, model: type[Model], clauses: LiteralString | sql.Composed, parameters: Parameters
) -> list[Model]:
    """The rows of the model's relation; `clauses` follow its name: joins, conditions, order.

    Raises NotCountedYet where the view is missing: the first refresh makes the views.
    """
    query = sql.SQL("select {} from {} {}").format(
        select_list(model),
        sql.Identifier("dashboard", model.relation),
        sql.SQL(clauses) if isinstance(clauses, str) else clauses,
    )
    return fetch_as(connection, model, query, parameters)


def select_customers(
    connection: Connection, model: type[Model], shop: Shop, customer_ids: Sequence[UUID]
) -> list[Model]:
    """The rows of the customers with these ids, in this order, with their `contacts`. Raises NotCountedYet."""
    query = sql.SQL(
        """
        -- A look-up for each customer: in a join, the view's condition on the owner makes the planner
        -- underestimate reading the whole shop.
        select {columns}
        from unnest(%(customer_ids)s::uuid[]) with ordinality as page (customer_id, place)
        cross join lateral (
            select * from dashboard.{relation}
            where shop_id = %(shop_id)s and shop_customer_id = page.customer_id
            limit 1
        ) as {relation}
        left join lateral (
            select * from dashboard.customer_contacts
            where shop_id = %(shop_id)s and shop_customer_id = page.customer_id
            limit 1
        ) as contacts on true
        order by page.place
        """
    ).format(columns=select_list(model), relation=sql.Identifier(model.relation))
    return fetch_as(connection, model, query, {"shop_id": shop.shop_id, "customer_ids": customer_ids})


def select_list(model: type[Row]) -> sql.Composed:
    """The columns of the model's fields, for a query in which its relation has its own name."""
    return sql.SQL(", ").join(_columns(model))


def _columns(model: type[Row]) -> Iterator[sql.Composed]:
    for name, field in model.model_fields.items():
        given = next((sql.SQL(item.expression) for item in field.metadata if isinstance(item, Sql)), None)
        column = given or sql.Identifier(model.relation, name)
        yield sql.SQL("{} as {}").format(column, sql.Identifier(name))


def fetch_as(connection: Connection, model: type[Model], query: sql.Composed, parameters: Parameters) -> list[Model]:
    """The rows of a whole query, as `model`. Raises NotCountedYet where a view is missing."""
    with connection.cursor(row_factory=class_row(model)) as cursor:
        try:
            return cursor.execute(query, parameters).fetchall()
        except psycopg.errors.UndefinedTable:
            raise NotCountedYet from None


def fetch(
    connection: Connection, query: LiteralString | sql.Composed, parameters: Parameters = ()
) -> list[tuple[Any, ...]]:
    """The rows of a whole query, as tuples. Raises NotCountedYet where a view is missing."""
    try:
        return connection.execute(query, parameters).fetchall()
    except psycopg.errors.UndefinedTable:
        raise NotCountedYet from None
