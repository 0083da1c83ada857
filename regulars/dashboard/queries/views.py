"""Queries on the `dashboard` views, which the first refresh makes."""

from collections.abc import Sequence
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ingest.storage.connections import Connection
from regulars.dashboard.api.schemas import Row, Shop
from regulars.dashboard.errors import NotCountedYet

Asked = TypeVar("Asked", bound=Row)


def require_counted(connection: Connection, shop: Shop) -> None:
    """Raises NotCountedYet where the shop has no cards: it is newer than the last refresh, or there was none."""
    if not execute(connection, "select 1 from dashboard.shop_overview where shop_id = %s", [shop.shop_id]):
        raise NotCountedYet


def execute(
    connection: Connection, query: LiteralString | sql.Composed, parameters: Sequence[Any] | dict[str, Any]
) -> list[tuple[Any, ...]]:
    """The rows. Raises NotCountedYet where the views are not there: the first refresh makes them."""
    try:
        return connection.execute(query, parameters).fetchall()
    except psycopg.errors.UndefinedTable:
        raise NotCountedYet from None


def ask(
    connection: Connection,
    model: type[Asked],
    query: LiteralString | sql.Composed,
    parameters: Sequence[Any] | dict[str, Any],
) -> list[Asked]:
    """The rows as `model`. Raises NotCountedYet where the views are not there."""
    with connection.cursor(row_factory=class_row(model)) as cursor:
        try:
            return cursor.execute(query, parameters).fetchall()
        except psycopg.errors.UndefinedTable:
            raise NotCountedYet from None
