"""The pages about customers, and signing in and out. Each page is read in one transaction, off the event loop."""

from collections.abc import Callable
from dataclasses import dataclass
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
from regulars.dashboard.language.catalogue import N_
from regulars.dashboard.pages import segment_words
from regulars.dashboard.pages.context import MAX_LINKS, open_page
from regulars.dashboard.pages.error_pages import PageRoute, notice
from regulars.dashboard.pages.rendering import link, render
from regulars.dashboard.queries import customers as customer_queries
from regulars.dashboard.queries import metrics
from regulars.dashboard.queries import segments as segment_queries
from regulars.dashboard.queries.exports import Export, PhonesExport, WorkbookExport
from regulars.dashboard.queries.filters import MAX_OFFSET, CustomerFilter, CustomerQuery, Sort
from regulars.dashboard.queries.freshness import stale_after
from regulars.dashboard.schemas import CustomerPage, Shop
from regulars.dashboard.security import session

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)


SORTS: tuple[tuple[Sort, str], ...] = (
    ("-last_purchase", N_("Bought latest")),
    ("last_purchase", N_("Bought longest ago")),
    ("-total_spent", N_("Spent most")),
    ("total_spent", N_("Spent least")),
    ("-total_purchases", N_("Most purchases")),
    ("total_purchases", N_("Fewest purchases")),
    ("-first_purchase", N_("Newest customers")),
    ("first_purchase", N_("Oldest customers")),
)


_EXPORTS: dict[str, type[Export]] = {kind.suffix: kind for kind in (Export, WorkbookExport, PhonesExport)}


class ListQuery(CustomerQuery):
    shop: str | None = Field(None, max_length=200)


class ExportQuery(CustomerFilter):
    shop: str | None = Field(None, max_length=200)


@router.get("/customers")
def customers(request: Request, parameters: Annotated[ListQuery, Query()]) -> Response:
    query = CustomerQuery(**parameters.model_dump(exclude={"shop"}))
    with open_page(request, shop=parameters.shop, reads="customers") as (connection, page):
        found = customer_queries.customers(connection, page.shop, query)
        rows = metrics.slugs(connection, page.shop)
        networks = _networks(connection, page.shop, page.as_of)
        sizes = _segment_sizes(connection, page.shop, page.as_of)
    return render(
        request,
        "customers.html",
        page=page,
        place="customers",
        query=query,
        found=found,
        sorts=SORTS,
        segments=_tabs(query.segment, sizes),
        meaning=segment_words.meaning(query.segment) if query.segment else "",
        is_filtered=bool(query.given),
        has_more_filters=bool(query.given.keys() - {"search", "segment"}),
        slugs=_including(query.slug, [row.slug for row in rows if row.new_customers][:MAX_LINKS]),
        last_slugs=_including(query.last_slug, [row.slug for row in rows if row.sales][:MAX_LINKS]),
        networks=_including(query.network, networks),
        page_links=_page_links(found),
        has_next=found.next_cursor is not None and found.offset + found.limit <= MAX_OFFSET,
        address=_addresses(page.shop_key, query),
    )


def _addresses(shop_key: str | None, query: CustomerQuery) -> Callable[..., str]:
    """Makes addresses that keep the shop, the filters, the order and the length of a page."""
    kept = {
        "shop": shop_key,
        **query.given,
        "sort": None if query.sort == "-last_purchase" else query.sort,
        "limit": None if query.limit == 50 else query.limit,
    }
    return lambda path="/customers", **changes: link(path, **(kept | changes))


@router.get("/customers.csv")
@router.get("/customers.xlsx")
@router.get("/customers.txt")
def export(request: Request, parameters: Annotated[ExportQuery, Query()]) -> Response:
    """All customers of the filtered list; as text, their phone numbers alone."""
    kind = _EXPORTS[request.url.path.rpartition(".")[2]]
    owner = session.owner(request)
    query = CustomerFilter(**parameters.model_dump(exclude={"shop"}))
    reader = request.app.state.reader
    return Download(kind(reader, owner, parameters.shop, query, stale_after=stale_after(request.app.state.settings)))


@router.get("/customers/{customer_id}")
def customer(request: Request, customer_id: str, parameters: Annotated[ListQuery, Query()]) -> Response:
    """The address keeps the query of the list, for the link back."""
    query = CustomerQuery(**parameters.model_dump(exclude={"shop"}))
    with open_page(request, shop=parameters.shop, reads="customers") as (connection, page):
        try:
            wanted = UUID(customer_id)
        except ValueError:
            return notice(request, status=404, name="missing")
        history = customer_queries.customer_history(connection, page.shop, wanted)
    return render(
        request,
        "customer.html",
        page=page,
        place="customers",
        history=history,
        customer=history.customer,
        max_orders=customer_queries.MAX_EVENTS,
        back=_addresses(page.shop_key, query)(offset=query.offset or None),
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


@cached(LRUCache(maxsize=512), key=lambda _, shop, as_of: (shop.shop_id, as_of), lock=Lock())
def _segment_sizes(connection: Connection, shop: Shop, as_of: datetime) -> list[tuple[str, int]]:  # noqa: ARG001
    return segment_queries.sizes(connection, shop)


@dataclass(frozen=True, slots=True)
class Tab:
    name: str
    label: str
    meaning: str
    customers: int


def _tabs(chosen: str | None, sizes: list[tuple[str, int]]) -> list[Tab]:
    """The segments with customers, the largest first, and the chosen one."""
    if chosen is not None and chosen not in dict(sizes):
        sizes = [(chosen, 0), *sizes]
    return [Tab(name, segment_words.label(name), segment_words.meaning(name), count) for name, count in sizes]


def _including(chosen: str | None, choices: list[str]) -> list[str]:
    """The choices, with the chosen one among them even if no customer has it."""
    return choices if chosen is None or chosen in choices else [chosen, *choices]


def _page_links(found: CustomerPage) -> list[tuple[int, int]]:
    """Number and offset of the pages to link: the first, the last reachable one, and those around this one."""
    last = min((max(found.total, 1) - 1) // found.limit, MAX_OFFSET // found.limit)
    here = found.offset // found.limit
    near = {number for number in range(here - 2, here + 3) if 0 <= number <= last}
    return [(number + 1, number * found.limit) for number in sorted({0, last, *near})]
