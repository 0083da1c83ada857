"""The owner's pages. Each page is read in one transaction, off the event loop."""

from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import Annotated
from uuid import UUID

from cachetools import LRUCache, cached
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from ingest.storage.connections import Connection
from regulars.dashboard import cards
from regulars.dashboard.download import Download
from regulars.dashboard.pages import charts, figures
from regulars.dashboard.pages.context import PageContext, open_page, stale_after
from regulars.dashboard.pages.error_pages import PageRoute, notice
from regulars.dashboard.pages.figures import Figure, Name
from regulars.dashboard.pages.months import recent_months
from regulars.dashboard.pages.rendering import link, render
from regulars.dashboard.queries import customers as customer_queries
from regulars.dashboard.queries import metrics
from regulars.dashboard.queries.csv_export import Export
from regulars.dashboard.queries.filters import MAX_OFFSET, CustomerFilter, CustomerQuery
from regulars.dashboard.schemas import CustomerPage, Shop
from regulars.dashboard.security import session

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)

MAX_LINKS = 200
"""In a table or a list to choose from: the links with the largest revenue."""

ShopName = Annotated[str | None, Query(max_length=200)]

_FIGURES: dict[Name, Callable[[Connection, PageContext], Figure]] = {
    "acquisition": lambda connection, page: figures.acquisition(
        metrics.acquisition(connection, page.shop), unfinished=page.unfinished_month
    ),
    "repeat-rates": lambda connection, page: figures.repeat_rates(
        metrics.repeat_rates(connection, page.shop), unfinished=page.unfinished_month
    ),
    "cohorts": lambda connection, page: figures.cohorts(metrics.cohorts(connection, page.shop)),
    "links": lambda connection, page: figures.links(metrics.slugs(connection, page.shop), currency=page.shop.currency),
    "revenue": lambda connection, page: figures.revenue(
        metrics.revenue_days(connection, page.shop), currency=page.shop.currency
    ),
}


@router.get("/")
def overview(request: Request, shop: ShopName = None) -> Response:
    with open_page(request, shop=shop) as (connection, page):
        numbers = metrics.overview(connection, page.shop)
        months = metrics.acquisition(connection, page.shop)
        rates = metrics.repeat_rates(connection, page.shop)
        cohorts = metrics.cohorts(connection, page.shop)
        slugs = metrics.slugs(connection, page.shop)
        days = metrics.revenue_days(connection, page.shop)
    currency = page.shop.currency
    return render(
        "overview.html",
        page=page,
        place="overview",
        numbers=numbers,
        earnings=cards.EARNINGS,
        of_customers=cards.CUSTOMERS,
        monthly=cards.MONTHLY,
        recent=recent_months(months, current=numbers.month, as_of=page.as_of, zone=page.zone),
        months=months,
        rates=rates,
        cohorts=figures.by_cohort(cohorts),
        slugs=slugs[:MAX_LINKS],
        links=len(slugs),
        days=days,
        figures={
            "acquisition": figures.acquisition(months, unfinished=page.unfinished_month),
            "repeat-rates": figures.repeat_rates(rates, unfinished=page.unfinished_month),
            "cohorts": figures.cohorts(cohorts),
            "links": figures.links(slugs, currency=currency),
            "revenue": figures.revenue(days, currency=currency),
        },
    )


@router.get("/charts/{name}.svg")
def chart(
    request: Request, name: Name, theme: charts.Theme = "light", size: charts.Size = "wide", shop: ShopName = None
) -> Response:
    """Browsers store the picture and revalidate it each time: only a refresh changes it."""
    with open_page(request, shop=shop) as (connection, page):
        figure = _FIGURES[name](connection, page)
    if not figure.rows:
        return Response(status_code=404, headers={"Cache-Control": "no-store"})
    currency = page.shop.currency
    etag = f'"{charts.key(figure, theme=theme, size=size, currency=currency)}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Cookie"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        svg = charts.draw(figure, theme=theme, size=size, currency=currency)
    except charts.DrawingFailed:
        return Response(status_code=503, headers={"Cache-Control": "no-store"})
    return Response(svg, media_type="image/svg+xml", headers=headers)


class ListQuery(CustomerQuery):
    shop: str | None = Field(None, max_length=200)


class ExportQuery(CustomerFilter):
    shop: str | None = Field(None, max_length=200)


@router.get("/customers")
def customers(request: Request, parameters: Annotated[ListQuery, Query()]) -> Response:
    query = CustomerQuery(**parameters.model_dump(exclude={"shop"}))
    with open_page(request, shop=parameters.shop) as (connection, page):
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
    with open_page(request, shop=shop) as (connection, page):
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
def sign_in(request: Request, token: str = "") -> Response:
    # Redirects at once to an address without the token.
    response = RedirectResponse("/", status_code=303, headers={"Cache-Control": "no-store"})
    session.sign_in(request, response, token=token)
    return response


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    response = notice(request, status=200, name="signed_out")
    session.sign_out(request, response)
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
