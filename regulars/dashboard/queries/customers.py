"""A shop's customers: one page of them, and one of them with all that they did."""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from ingest.phone import read_phone
from ingest.storage.connections import Connection
from regulars.dashboard.api.schemas import (
    CustomerFilter,
    CustomerHistory,
    CustomerPage,
    CustomerQuery,
    CustomerRow,
    OrderRow,
    Shop,
    VisitRow,
)
from regulars.dashboard.errors import BadCursor, NoSuchCustomer, NotCountedYet
from regulars.dashboard.queries.views import ask, execute, require_counted

MOST_EVENTS = 1000
"""How many orders and visits a history holds at most, the newest."""

_LARGEST_COUNT = 2**63 - 1


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
    if type(written) is not int or not 0 <= written <= _LARGEST_COUNT:
        raise ValueError
    return written


@dataclass(frozen=True, slots=True)
class _Key:
    """What customers are sorted by; it has an index with the shop before it and the customer's id after it."""

    column: LiteralString
    read: Callable[[object], object]
    """Reads the key in a cursor; raises ValueError or ArithmeticError."""


_KEYS = {
    "last_purchase": _Key("last_purchase_at", _moment),
    "first_purchase": _Key("first_purchase_at", _moment),
    "total_spent": _Key("total_spent", _amount),
    "total_purchases": _Key("total_purchases", _count),
}


def customers(connection: Connection, shop: Shop, query: CustomerQuery) -> CustomerPage:
    """One page of the shop's customers. Raises BadCursor, and NotCountedYet.

    The page is found in an index alone, and what it shows is looked up for its customers only.
    """
    key = _KEYS[query.sort.removeprefix("-")]
    conditions, parameters = which(shop, query)
    total = _total(connection, shop, query, conditions, parameters)
    parameters |= {"limit": query.limit + 1, "offset": query.offset}
    if query.cursor is not None:
        conditions.append(
            sql.SQL("(c.{}, c.shop_customer_id) {} (%(after_key)s, %(after_id)s)").format(
                sql.Identifier(key.column), sql.SQL("<" if query.sort.startswith("-") else ">")
            )
        )
        parameters |= dict(zip(("after_key", "after_id"), _read_cursor(query.cursor, query.sort), strict=True))
    found = execute(
        connection,
        sql.SQL(
            "select c.shop_customer_id, c.{} from dashboard.customers as c where {} "
            "order by {} limit %(limit)s offset %(offset)s"
        ).format(sql.Identifier(key.column), sql.SQL(" and ").join(conditions), order(query)),
        parameters,
    )
    page = found[: query.limit]
    return CustomerPage(
        customers=_rows(connection, shop, [customer_id for customer_id, _ in page]),
        total=total,
        limit=query.limit,
        offset=query.offset,
        next_cursor=_cursor(query.sort, *reversed(page[-1])) if len(found) > query.limit else None,
    )


def customer_history(connection: Connection, shop: Shop, customer_id: UUID) -> CustomerHistory:
    """What a customer ordered, whatever became of it, and the visits that brought the orders; the newest first.

    Raises NoSuchCustomer where the shop has none with this id who has bought, and NotCountedYet.
    """
    rows = _rows(connection, shop, [customer_id])
    if not rows:
        require_counted(connection, shop)
        raise NoSuchCustomer
    orders = ask(
        connection,
        OrderRow,
        """
        select
            order_id, ordered_at, order_status, payment_status, is_sale, gross_amount, refunded_amount, net_amount,
            profit_amount, network, volume_gb, slug
        from dashboard.orders
        where shop_id = %s and shop_customer_id = %s
        order by ordered_at desc, order_id desc
        limit %s
        """,
        [shop.shop_id, customer_id, MOST_EVENTS],
    )
    visits = ask(
        connection,
        VisitRow,
        """
        select visit_id, visited_at, slug, referrer, utm_source, utm_medium, utm_campaign, order_id
        from dashboard.visits
        where shop_id = %s and order_id = any(%s)
        order by visited_at desc, visit_id desc
        """,
        [shop.shop_id, [order.order_id for order in orders]],
    )
    return CustomerHistory(customer=rows[0], orders=orders, tracking=visits)


CUSTOMER_COLUMNS = sql.SQL(
    """
    c.shop_customer_id as customer_id,
    k.customer_name,
    k.phone_number,
    k.email,
    c.first_purchase_at,
    c.last_purchase_at,
    c.total_purchases,
    c.total_spent,
    c.total_profit,
    c.average_order_value,
    c.repeat_customer,
    c.first_source_slug,
    c.last_source_slug,
    c.preferred_network,
    k.erased_at
    """
)
"""Of `dashboard.customers as c` and `dashboard.customer_contacts as k`, as CustomerRow has them."""


def which(shop: Shop, query: CustomerFilter) -> tuple[list[sql.Composable], dict[str, Any]]:
    """The conditions on `dashboard.customers as c`, and their parameters."""
    conditions: list[sql.Composable] = [sql.SQL("c.shop_id = %(shop_id)s")]
    parameters: dict[str, Any] = {"shop_id": shop.shop_id}
    if query.repeat is not None:
        conditions.append(sql.SQL("c.repeat_customer" if query.repeat else "not c.repeat_customer"))
    if query.slug is not None:
        # Not coalesce(): the planner would know nothing of how many there are.
        is_unknown = " or c.first_source_slug is null" if query.slug == "unknown" else ""
        conditions.append(sql.SQL(f"(c.first_source_slug = %(slug)s{is_unknown})"))
        parameters["slug"] = query.slug
    if query.network is not None:
        conditions.append(sql.SQL("c.preferred_network = %(network)s"))
        parameters["network"] = query.network
    if query.search is not None:
        phone = read_phone(query.search, country=shop.country).e164
        if phone is not None:
            matches = sql.SQL("k.phone_number = %(phone)s")
            parameters["phone"] = phone
        else:
            matches = sql.SQL("(k.customer_name ilike %(part)s or k.email ilike %(part)s)")
            parameters["part"] = f"%{_literally(query.search.strip())}%"
        conditions.append(
            sql.SQL(
                "c.shop_customer_id in (select k.shop_customer_id from dashboard.customer_contacts as k "
                "where k.shop_id = %(shop_id)s and {})"
            ).format(matches)
        )
    return conditions, parameters


def order(query: CustomerFilter) -> sql.Composed:
    """The whole order: customers who are equal in it are told apart by their id. No key is ever null."""
    column = sql.Identifier(_KEYS[query.sort.removeprefix("-")].column)
    direction = sql.SQL("desc" if query.sort.startswith("-") else "asc")
    return sql.SQL("c.{} {}, c.shop_customer_id {}").format(column, direction, direction)


def _literally(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def _total(
    connection: Connection,
    shop: Shop,
    query: CustomerQuery,
    conditions: list[sql.Composable],
    parameters: dict[str, Any],
) -> int:
    cards = execute(
        connection,
        "select total_customers, repeat_customers from dashboard.shop_overview where shop_id = %s",
        [shop.shop_id],
    )
    if not cards:
        raise NotCountedYet
    total, repeating = map(int, cards[0])
    if query.search is None and query.slug is None and query.network is None:
        return total if query.repeat is None else repeating if query.repeat else total - repeating
    if query.search is None and query.repeat is None and query.network is None:
        # As many as came by the link at first: counted with the links.
        slug = [shop.shop_id, query.slug]
        links = "select new_customers from dashboard.slug_analytics where shop_id = %s and slug = %s"
        return sum(int(new) for (new,) in execute(connection, links, slug))
    count = sql.SQL("select count(*) from dashboard.customers as c where {}").format(sql.SQL(" and ").join(conditions))
    return int(execute(connection, count, parameters)[0][0])


def _rows(connection: Connection, shop: Shop, customer_ids: list[UUID]) -> list[CustomerRow]:
    """The customers with these ids, in this order."""
    return ask(
        connection,
        CustomerRow,
        sql.SQL(
            """
            -- One look-up for each: planned as a join, the wall's condition makes reading the whole shop look cheap.
            select {}
            from unnest(%(customer_ids)s::uuid[]) with ordinality as page (customer_id, place)
            cross join lateral (
                select * from dashboard.customers
                where shop_id = %(shop_id)s and shop_customer_id = page.customer_id
                limit 1
            ) as c
            left join lateral (
                select * from dashboard.customer_contacts
                where shop_id = %(shop_id)s and shop_customer_id = page.customer_id
                limit 1
            ) as k on true
            order by page.place
            """
        ).format(CUSTOMER_COLUMNS),
        {"shop_id": shop.shop_id, "customer_ids": customer_ids},
    )


def _cursor(sort: str, key: object, customer_id: UUID) -> str:
    written = key if isinstance(key, int) else key.isoformat() if isinstance(key, datetime) else str(key)
    text = json.dumps([sort, written, str(customer_id)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str, sort: str) -> tuple[object, UUID]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
        of_sort, key, customer_id = json.loads(text)
        if of_sort != sort:
            raise BadCursor
        return _KEYS[sort.removeprefix("-")].read(key), UUID(customer_id)
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError, binascii.Error):
        raise BadCursor from None
