"""The order of a list of customers, and cursors: a customer's place in that order."""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from regulars.dashboard.errors import BadCursor
from regulars.dashboard.queries.filters import Sort

_MAX_COUNT = 2**63 - 1


def _moment(written: object) -> datetime:
    moment = datetime.fromisoformat(str(written))
    if moment.tzinfo is None:
        raise ValueError
    return moment


def _amount(written: object) -> Decimal:
    amount = Decimal(str(written))
    if not amount.is_finite() or abs(amount.adjusted()) > 100:
        raise ValueError
    return amount


def _count(written: object) -> int:
    if type(written) is not int or not 0 <= written <= _MAX_COUNT:
        raise ValueError
    return written


@dataclass(frozen=True, slots=True)
class _Key:
    """A sort key: never null, and indexed between the shop's id and the customer's id."""

    column: LiteralString
    read: Callable[[object], object]
    """Reads the key in a cursor; raises ValueError or ArithmeticError."""


_KEYS = {
    "last_purchase": _Key("last_purchase_at", _moment),
    "first_purchase": _Key("first_purchase_at", _moment),
    "total_spent": _Key("total_spent", _amount),
    "total_purchases": _Key("total_purchases", _count),
}


def key_column(sort: Sort) -> sql.Identifier:
    """The column of `dashboard.customers` to sort by."""
    return sql.Identifier("customers", _KEYS[sort.removeprefix("-")].column)


def order_by(sort: Sort) -> sql.Composed:
    """The whole order: the customer's id breaks ties."""
    direction = sql.SQL("desc" if sort.startswith("-") else "asc")
    return sql.SQL("{} {}, customers.shop_customer_id {}").format(key_column(sort), direction, direction)


def after_cursor(sort: Sort) -> sql.Composed:
    """The condition for the rows after a cursor, whose two values are the parameters after_key and after_id."""
    return sql.SQL("({}, customers.shop_customer_id) {} (%(after_key)s, %(after_id)s)").format(
        key_column(sort), sql.SQL("<" if sort.startswith("-") else ">")
    )


def write_cursor(sort: Sort, key: object, customer_id: UUID) -> str:
    written = key if isinstance(key, int) else key.isoformat() if isinstance(key, datetime) else str(key)
    text = json.dumps([sort, written, str(customer_id)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, sort: Sort) -> tuple[object, UUID]:
    """The last customer's key and id. Raises BadCursor."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
        cursor_sort, key, customer_id = json.loads(text)
        if cursor_sort != sort:
            raise BadCursor
        return _KEYS[sort.removeprefix("-")].read(key), UUID(customer_id)
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError, binascii.Error):
        raise BadCursor from None
