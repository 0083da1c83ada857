"""The pages about customers, and signing in and out. Each page is read in one transaction, off the event loop."""

from datetime import datetime
from threading import Lock
from typing import Annotated
from uuid import UUID

from cachetools import LRUCache, cached
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from ingest.storage.connections import Connection
from regulars.dashboard.download import Download
from regulars.dashboard.errors import NotLoaded
from regulars.dashboard.pages.context import MAX_LINKS, ShopName, open_page, stale_after
from regulars.dashboard.pages.error_pages import PageRoute, notice
from regulars.dashboard.pages.rendering import link, render
from regulars.dashboard.queries import customers as customer_queries
from regulars.dashboard.queries import metrics
from regulars.dashboard.queries.csv_export import Export
from regulars.dashboard.queries.filters import MAX_OFFSET, CustomerFilter, CustomerQuery
from regulars.dashboard.schemas import CustomerPage, Shop
from regulars.dashboard.security import session

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)


class ListQuery(CustomerQuery):
    shop: str | None = Field(None, max_length=200)


class ExportQuery(CustomerFilter):
    shop: str | None = Field(None, max_length=200)


@router.get("/customers")
def customers(request: Request, parameters: Annotated[ListQuery, Query()]) -> Response:
    query = CustomerQuery(**parameters.model_dump(exclude={"shop"}))
    with open_page(request, shop=parameters.shop, reads="customers") as (connection, page):
        found = customer_queries.customers(connection, page.shop, query)
        slugs = [row.slug for row in metrics.slugs(connection, page.shop) if row.new_customers][:MAX_LINKS]
        networks = _networks(connection, page.shop, page.as_of)
    filters = {
        "search": query.search, "repeat": query.repeat, "slug": query.slug, "network": query.network,
    }  # fmt: skip
    return render(
        "customers.html",
        page=page,
        place="customers",
        query=query,
        found=found,
        is_filtered=any(value is not None for value in filters.values()),
        slugs=_including(query.slug, slugs),
        networks=_including(query.network, networks),
        page_links=_page_links(found),
        has_next=found.next_cursor is not None and found.offset + found.limit <= MAX_OFFSET,
        address=lambda path="/customers", **changes: link(
            path,
            **{
                "shop": page.shop_key,
                **filters,
                "sort": None if query.sort == "-last_purchase" else query.sort,
                "limit": None if query.limit == 50 else query.limit,
            }
            | changes,
        ),
    )


@router.get("/customers.csv")
def export(request: Request, parameters: Annotated[ExportQuery, Query()]) -> Response:
    owner = session.owner(request)
    query = CustomerFilter(**parameters.model_dump(exclude={"shop"}))
    reader = request.app.state.reader
    return Download(Export(reader, owner, parameters.shop, query, stale_after=stale_after(request)))


@router.get("/customers/{customer_id}")
def customer(request: Request, customer_id: str, shop: ShopName = None) -> Response:
    with open_page(request, shop=shop, reads="customers") as (connection, page):
        try:
            wanted = UUID(customer_id)
        except ValueError:
            return notice(request, status=404, name="missing")
        history = customer_queries.customer_history(connection, page.shop, wanted)
    return render(
        "customer.html",
        page=page,
        place="customers",
        history=history,
        customer=history.customer,
        max_orders=customer_queries.MAX_EVENTS,
    )


@router.get("/sign-in")
def sign_in(request: Request, token: str = "", pressed: str = "") -> Response:
    """Signs in by a link. A link that works once waits for a person, who may have to press a button."""
    link = session.link_owner(request, token=token)
    if not (pressed or session.is_opened_by_a_person(request) or session.is_reusable(link)):
        response: Response = notice(request, status=200, name="press_to_sign_in", token=token)
    else:
        # Redirects at once to an address without the token.
        response = RedirectResponse("/", status_code=303, headers={"Cache-Control": "no-store"})
        try:
            session.sign_in(request, response, link=link)
        except NotLoaded:
            response = notice(request, status=503, name="no_sign_in")
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    response = notice(request, status=200, name="signed_out")
    try:
        session.sign_out(request, response)
    except NotLoaded:
        return notice(request, status=503, name="no_sign_out")
    return response


@cached(LRUCache(maxsize=512), key=lambda _, shop, as_of: (shop.shop_id, as_of), lock=Lock())
def _networks(connection: Connection, shop: Shop, as_of: datetime) -> list[str]:  # noqa: ARG001
    return customer_queries.networks(connection, shop)


def _including(chosen: str | None, choices: list[str]) -> list[str]:
    """The choices, with the chosen one among them even if no customer has it."""
    return choices if chosen is None or chosen in choices else [chosen, *choices]


def _page_links(found: CustomerPage) -> list[tuple[int, int]]:
    """Number and offset of the pages to link: the first, the last reachable one, and those around this one."""
    last = min((max(found.total, 1) - 1) // found.limit, MAX_OFFSET // found.limit)
    here = found.offset // found.limit
    near = {number for number in range(here - 2, here + 3) if 0 <= number <= last}
    return [(number + 1, number * found.limit) for number in sorted({0, last, *near})]
