"""A shop's customers: a page of the list, one customer's history, and the networks to filter by."""

from typing import Any
from uuid import UUID

from psycopg import sql

from ingest.phone import read_phone
from ingest.storage.connections import Connection
from regulars.dashboard.customer_schemas import CustomerHistory
from regulars.dashboard.errors import NoSuchCustomer, NotCountedYet
from regulars.dashboard.queries import outlook
from regulars.dashboard.queries.filters import CustomerFilter, CustomerQuery
from regulars.dashboard.queries.freshness import require_counted
from regulars.dashboard.queries.select import fetch, fetch_as, select, select_list
from regulars.dashboard.queries.sorting import after_cursor, key_column, order_by, read_cursor, write_cursor
from regulars.dashboard.schemas import CustomerPage, CustomerRow, OrderRow, Shop, VisitRow

MAX_EVENTS = 1000
"""A history holds this many orders, the newest, and their visits."""

MAX_NETWORKS = 50


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
        customers=_rows(connection, shop, [customer_id for customer_id, _ in page]),
        total=total,
        limit=query.limit,
        offset=query.offset,
        next_cursor=write_cursor(query.sort, *reversed(page[-1])) if len(found) > query.limit else None,
    )


def customer_history(connection: Connection, shop: Shop, customer_id: UUID) -> CustomerHistory:
    """All of a customer's orders, whatever became of them, and the visits that brought them, the newest first; and what
    to expect of the customer.

    Raises NoSuchCustomer where no customer of the shop with this id has a sale, and NotCountedYet.
    """
    rows = _rows(connection, shop, [customer_id])
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


def conditions(shop: Shop, query: CustomerFilter) -> tuple[list[sql.Composable], dict[str, Any]]:
    """The filter's conditions on `dashboard.customers`, and their parameters."""
    wheres: list[sql.Composable] = [sql.SQL("customers.shop_id = %(shop_id)s")]
    parameters: dict[str, Any] = {"shop_id": shop.shop_id}
    if query.repeat is not None:
        wheres.append(sql.SQL("customers.repeat_customer" if query.repeat else "not customers.repeat_customer"))
    if query.slug is not None:
        # Not coalesce(): the planner could not estimate it.
        or_missing = " or customers.first_source_slug is null" if query.slug == "unknown" else ""
        wheres.append(sql.SQL(f"(customers.first_source_slug = %(slug)s{or_missing})"))
        parameters["slug"] = query.slug
    if query.network is not None:
        wheres.append(sql.SQL("customers.preferred_network = %(network)s"))
        parameters["network"] = query.network
    if query.search is not None:
        phone = read_phone(query.search, country=shop.country).e164
        if phone is not None:
            matches = sql.SQL("contacts.phone_number = %(phone)s")
            parameters["phone"] = phone
        else:
            matches = sql.SQL("(contacts.customer_name ilike %(part)s or contacts.email ilike %(part)s)")
            parameters["part"] = f"%{_escaped(query.search.strip())}%"
        wheres.append(
            sql.SQL(
                "customers.shop_customer_id in (select contacts.shop_customer_id "
                "from dashboard.customer_contacts as contacts where contacts.shop_id = %(shop_id)s and {})"
            ).format(matches)
        )
    return wheres, parameters


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
    if query.search is None and query.slug is None and query.network is None:
        return total if query.repeat is None else repeat if query.repeat else total - repeat
    if query.search is None and query.repeat is None and query.network is None:
        # The link's new customers are the customers whose first purchase came by it.
        slug = [shop.shop_id, query.slug]
        links = "select new_customers from dashboard.slug_analytics where shop_id = %s and slug = %s"
        return sum(int(new) for (new,) in fetch(connection, links, slug))
    count = sql.SQL("select count(*) from dashboard.customers where {}").format(sql.SQL(" and ").join(wheres))
    return int(fetch(connection, count, parameters)[0][0])


def _rows(connection: Connection, shop: Shop, customer_ids: list[UUID]) -> list[CustomerRow]:
    """The customers with these ids, in this order."""
    return fetch_as(
        connection,
        CustomerRow,
        sql.SQL(
            """
            -- A look-up for each customer: in a join, the view's condition on the owner makes the planner
            -- underestimate reading the whole shop.
            select {}
            from unnest(%(customer_ids)s::uuid[]) with ordinality as page (customer_id, place)
            cross join lateral (
                select * from dashboard.customers
                where shop_id = %(shop_id)s and shop_customer_id = page.customer_id
                limit 1
            ) as customers
            left join lateral (
                select * from dashboard.customer_contacts
                where shop_id = %(shop_id)s and shop_customer_id = page.customer_id
                limit 1
            ) as contacts on true
            order by page.place
            """
        ).format(select_list(CustomerRow)),
        {"shop_id": shop.shop_id, "customer_ids": customer_ids},
    )
