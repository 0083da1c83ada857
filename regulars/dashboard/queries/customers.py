"""A shop's customers: a page of the list, one customer's history, and the networks to filter by."""

import re
from datetime import datetime, time, timedelta
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from ingest.phone import read_phone
from ingest.storage.connections import Connection
from regulars.dashboard.customer_schemas import CustomerHistory
from regulars.dashboard.errors import NoSuchCustomer, NotCountedYet
from regulars.dashboard.queries import outlook
from regulars.dashboard.queries.filters import CustomerFilter, CustomerQuery
from regulars.dashboard.queries.freshness import require_counted
from regulars.dashboard.queries.select import fetch, select, select_customers
from regulars.dashboard.queries.sorting import after_cursor, key_column, order_by, read_cursor, write_cursor
from regulars.dashboard.schemas import CustomerPage, ListedCustomer, OrderRow, Shop, VisitRow

MAX_EVENTS = 1000
"""A history holds this many orders, the newest, and their visits."""

MAX_NETWORKS = 50
MAX_WORDS = 8
MIN_DIGITS = 3
"""A search for fewer digits of a phone number would find too many customers."""

SILENT_AFTER = 30
LOST_AFTER = 180
"""Days without a purchase after which an owner should call, and after which it is too late."""


def customers(connection: Connection, shop: Shop, query: CustomerQuery) -> CustomerPage:
    """One page of the shop's customers. Raises BadCursor and NotCountedYet.

    An index alone finds the page; the rest is looked up for the customers on it.
    """
    wheres, parameters = conditions(shop, query)
    total = _total(connection, shop, query, wheres, parameters)
    parameters |= {"limit": query.limit + 1, "offset": query.offset}
    if query.cursor is not None:
        wheres.append(after_cursor(query.sort))
        parameters |= dict(zip(("after_key", "after_id"), read_cursor(query.cursor, query.sort), strict=True))
    found = fetch(
        connection,
        sql.SQL(
            "select customers.shop_customer_id, {} from dashboard.customers where {} "
            "order by {} limit %(limit)s offset %(offset)s"
        ).format(key_column(query.sort), sql.SQL(" and ").join(wheres), order_by(query.sort)),
        parameters,
    )
    page = found[: query.limit]
    return CustomerPage(
        customers=select_customers(connection, ListedCustomer, shop, [customer_id for customer_id, _ in page]),
        total=total,
        limit=query.limit,
        offset=query.offset,
        next_cursor=write_cursor(query.sort, *reversed(page[-1])) if len(found) > query.limit else None,
    )


def customer_history(connection: Connection, shop: Shop, customer_id: UUID) -> CustomerHistory:
    """A customer's orders of any status and the visits that brought them, the newest first, and the outlook.

    Raises NoSuchCustomer where no customer of the shop with this id has a sale, and NotCountedYet.
    """
    rows = select_customers(connection, ListedCustomer, shop, [customer_id])
    if not rows:
        require_counted(connection, shop)
        raise NoSuchCustomer
    orders = select(
        connection,
        OrderRow,
        "where shop_id = %s and shop_customer_id = %s order by ordered_at desc, order_id desc limit %s",
        [shop.shop_id, customer_id, MAX_EVENTS],
    )
    visits = select(
        connection,
        VisitRow,
        "where shop_id = %s and order_id = any(%s) order by visited_at desc, visit_id desc",
        [shop.shop_id, [order.order_id for order in orders]],
    )
    forecast = outlook.forecast(connection, shop, customer_id)
    return CustomerHistory(
        customer=rows[0],
        rhythm=outlook.rhythm(connection, shop, customer_id),
        forecast=forecast,
        forecast_reason=None if forecast else outlook.why_no_forecast(connection, shop, rows[0]),
        orders=orders,
        tracking=visits,
    )


def networks(connection: Connection, shop: Shop) -> list[str]:
    """The networks that the shop's customers prefer, by name. Reads every customer: cache it until the next refresh."""
    rows = fetch(
        connection,
        """
        select distinct preferred_network
        from dashboard.customers
        where shop_id = %s and preferred_network is not null
        order by preferred_network
        limit %s
        """,
        [shop.shop_id, MAX_NETWORKS],
    )
    return [network for (network,) in rows]


def silent(connection: Connection, shop: Shop, *, limit: int) -> list[ListedCustomer]:
    """Whom to call first: who came back before, has been silent for a while, and has spent the most.

    The index by amount finds them, so nobody is counted.
    """
    query = CustomerFilter(
        sort="-total_spent", min_purchases=2, min_silent_days=SILENT_AFTER, max_silent_days=LOST_AFTER
    )
    wheres, parameters = conditions(shop, query)
    found = fetch(
        connection,
        sql.SQL(
            "select customers.shop_customer_id from dashboard.customers where {} order by {} limit %(limit)s"
        ).format(sql.SQL(" and ").join(wheres), order_by(query.sort)),
        parameters | {"limit": limit},
    )
    return select_customers(connection, ListedCustomer, shop, [customer_id for (customer_id,) in found])


def conditions(shop: Shop, query: CustomerFilter) -> tuple[list[sql.Composable], dict[str, Any]]:
    """The filter's conditions on `dashboard.customers`, and their parameters."""
    wheres: list[sql.Composable] = [sql.SQL("customers.shop_id = %(shop_id)s")]
    parameters: dict[str, Any] = {"shop_id": shop.shop_id}
    if query.repeat is not None:
        wheres.append(sql.SQL("customers.repeat_customer" if query.repeat else "not customers.repeat_customer"))
    if query.slug is not None:
        wheres.append(_came_by("first_source_slug", "slug", query.slug))
        parameters["slug"] = query.slug
    if query.last_slug is not None:
        wheres.append(_came_by("last_source_slug", "last_slug", query.last_slug))
        parameters["last_slug"] = query.last_slug
    for name, condition in _BOUNDS.items():
        value = getattr(query, name)
        if value is not None:
            wheres.append(sql.SQL(condition))
            parameters[name] = value
    for name, condition in _SILENCE.items():
        days = getattr(query, name)
        if days is not None:
            wheres.append(sql.SQL(condition))
            # A moment rather than a day, because the index has moments.
            parameters[name] = _days_ago(shop, days - 1 if name == "min_silent_days" else days)
    if query.segment is not None:
        wheres.append(
            sql.SQL(
                "customers.shop_customer_id in (select segments.shop_customer_id "
                "from dashboard.customer_segments as segments "
                "where segments.shop_id = %(shop_id)s and segments.segment = %(segment)s)"
            )
        )
        parameters["segment"] = query.segment
    if query.search is not None:
        matches, words = _matches(shop, query.search)
        parameters |= words
        wheres.append(
            sql.SQL(
                "customers.shop_customer_id in (select contacts.shop_customer_id "
                "from dashboard.customer_contacts as contacts where contacts.shop_id = %(shop_id)s and {})"
            ).format(matches)
        )
    return wheres, parameters


_BOUNDS: dict[str, LiteralString] = {
    "network": "customers.preferred_network = %(network)s",
    "min_spent": "customers.total_spent >= %(min_spent)s",
    "max_spent": "customers.total_spent <= %(max_spent)s",
    "min_purchases": "customers.total_purchases >= %(min_purchases)s",
    "max_purchases": "customers.total_purchases <= %(max_purchases)s",
}
_SILENCE: dict[str, LiteralString] = {
    "min_silent_days": "customers.last_purchase_at < %(min_silent_days)s",
    "max_silent_days": "customers.last_purchase_at >= %(max_silent_days)s",
}


def _came_by(column: LiteralString, name: LiteralString, slug: str) -> sql.Composed:
    # Not coalesce(): the planner could not estimate it.
    condition: LiteralString = "({column} = {value} or {column} is null)" if slug == "unknown" else "{column} = {value}"
    return sql.SQL(condition).format(column=sql.Identifier("customers", column), value=sql.Placeholder(name))


def _days_ago(shop: Shop, days: int) -> datetime:
    """The beginning of the shop's local day so many days ago."""
    zone = shop.zone
    return datetime.combine(datetime.now(zone).date() - timedelta(days=days), time(), zone)


def _matches(shop: Shop, search: str) -> tuple[sql.Composable, dict[str, Any]]:
    """A whole phone number, the last digits of one, or words of which each is in the name or the e-mail address."""
    phone = read_phone(search, country=shop.country).e164
    if phone is not None:
        return sql.SQL("contacts.phone_number = %(phone)s"), {"phone": phone}
    digits = re.sub(r"[\s()+./-]", "", search)
    if digits.isascii() and digits.isdecimal() and len(digits) >= MIN_DIGITS:
        # Six digits or more may also be the beginning of a number that is being typed.
        part = digits.lstrip("0") if len(digits) >= 6 else ""
        patterns = [f"%{digits}", *([f"%{part}%"] if part else [])]
        return sql.SQL("contacts.phone_number like any(%(digits)s)"), {"digits": patterns}
    words = search.replace(",", " ").split()[:MAX_WORDS] or [search]
    condition = "(contacts.customer_name ilike {0} or contacts.email ilike {0} or contacts.phone_number like {1})"
    parameters: dict[str, Any] = {}
    each = []
    for place, word in enumerate(words):
        parameters[f"word{place}"] = f"%{_escaped(word)}%"
        # The last digits, beside a name.
        is_digits = word.isascii() and word.isdecimal() and len(word) >= MIN_DIGITS
        parameters[f"digits{place}"] = f"%{word}" if is_digits else None
        each.append(sql.SQL(condition).format(sql.Placeholder(f"word{place}"), sql.Placeholder(f"digits{place}")))
    return sql.SQL("(") + sql.SQL(" and ").join(each) + sql.SQL(")"), parameters


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def _total(
    connection: Connection, shop: Shop, query: CustomerQuery, wheres: list[sql.Composable], parameters: dict[str, Any]
) -> int:
    cards = fetch(
        connection,
        "select total_customers, repeat_customers from dashboard.shop_overview where shop_id = %s",
        [shop.shop_id],
    )
    if not cards:
        raise NotCountedYet
    total, repeat = map(int, cards[0])
    if query.given.keys() <= {"repeat"}:
        return total if query.repeat is None else repeat if query.repeat else total - repeat
    if query.given.keys() == {"slug"}:
        # The link's new customers are the customers whose first purchase came by it.
        slug = [shop.shop_id, query.slug]
        links = "select new_customers from dashboard.slug_analytics where shop_id = %s and slug = %s"
        return sum(int(new) for (new,) in fetch(connection, links, slug))
    count = sql.SQL("select count(*) from dashboard.customers where {}").format(sql.SQL(" and ").join(wheres))
    return int(fetch(connection, count, parameters)[0][0])
