"""The owner's pages. All of a page is read in one transaction, off the event loop."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from ingest.storage.connections import Connection
from regulars.dashboard.api.schemas import FARTHEST_OFFSET, CustomerFilter, CustomerPage, CustomerQuery
from regulars.dashboard.pages import cards, charts, figures
from regulars.dashboard.pages.context import Desk, opened, stale_after
from regulars.dashboard.pages.figures import Figure, Name
from regulars.dashboard.pages.kept import Kept
from regulars.dashboard.pages.months import recent
from regulars.dashboard.pages.notices import Page, notice
from regulars.dashboard.pages.rendering import link, page
from regulars.dashboard.queries import shop as questions
from regulars.dashboard.queries.csv_export import Download, Export
from regulars.dashboard.queries.customers import MOST_EVENTS
from regulars.dashboard.security import session

router = APIRouter(route_class=Page, include_in_schema=False, default_response_class=Response)

MOST_LINKS = 200
"""In a table, or to choose from: those that brought the largest revenue."""

_pictures: Kept[str, str] = Kept(most=512)
_networks: Kept[tuple[UUID, datetime], list[str]] = Kept(most=512)

ShopNamed = Annotated[str | None, Query(max_length=200)]

_DRAWN: dict[Name, Callable[[Connection, Desk], Figure]] = {
    "acquisition": lambda connection, desk: figures.acquisition(
        questions.acquisition(connection, desk.shop), running=desk.running
    ),
    "repeat-rates": lambda connection, desk: figures.repeat_rates(
        questions.repeat_rates(connection, desk.shop), running=desk.running
    ),
    "cohorts": lambda connection, desk: figures.cohorts(questions.cohorts(connection, desk.shop)),
    "links": lambda connection, desk: figures.links(
        questions.slugs(connection, desk.shop), currency=desk.shop.currency
    ),
    "revenue": lambda connection, desk: figures.revenue(
        questions.revenue_days(connection, desk.shop), currency=desk.shop.currency
    ),
}


@router.get("/")
def overview(request: Request, shop: ShopNamed = None) -> Response:
    with opened(request, shop=shop) as (connection, desk):
        numbers = questions.overview(connection, desk.shop)
        months = questions.acquisition(connection, desk.shop)
        rates = questions.repeat_rates(connection, desk.shop)
        cohorts = questions.cohorts(connection, desk.shop)
        slugs = questions.slugs(connection, desk.shop)
        days = questions.revenue_days(connection, desk.shop)
    currency = desk.shop.currency
    return page(
        "overview.html",
        desk=desk,
        place="overview",
        numbers=numbers,
        earnings=cards.EARNINGS,
        of_customers=cards.CUSTOMERS,
        monthly=cards.MONTHLY,
        recent=recent(months, current=numbers.month, as_of=desk.as_of, zone=desk.zone),
        months=months,
        rates=rates,
        cohorts=figures.by_cohort(cohorts),
        slugs=slugs[:MOST_LINKS],
        links=len(slugs),
        days=days,
        figures={
            "acquisition": figures.acquisition(months, running=desk.running),
            "repeat-rates": figures.repeat_rates(rates, running=desk.running),
            "cohorts": figures.cohorts(cohorts),
            "links": figures.links(slugs, currency=currency),
            "revenue": figures.revenue(days, currency=currency),
        },
    )


@router.get("/charts/{name}.svg")
def chart(
    request: Request, name: Name, theme: charts.Theme = "light", size: charts.Size = "wide", shop: ShopNamed = None
) -> Response:
    """Browsers keep the picture and ask each time whether it is still the one: only a refresh changes it."""
    with opened(request, shop=shop) as (connection, desk):
        figure = _DRAWN[name](connection, desk)
    currency = desk.shop.currency
    key = charts.key(figure, theme=theme, size=size, currency=currency)
    headers = {"ETag": f'"{key}"', "Cache-Control": "private, no-cache", "Vary": "Cookie"}
    if not figure.rows:
        return Response(status_code=404, headers={"Cache-Control": "no-store"})
    if f'"{key}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        svg = _pictures.get(key, lambda: charts.draw(figure, theme=theme, size=size, currency=currency))
    except charts.DrawingFailed:
        return Response(status_code=503, headers={"Cache-Control": "no-store"})
    return Response(svg, media_type="image/svg+xml", headers=headers)


class Asked(CustomerQuery):
    """The query of the customers' page: one page of them, of one shop."""

    shop: str | None = Field(None, max_length=200)


class Exported(CustomerFilter):
    shop: str | None = Field(None, max_length=200)


@router.get("/customers")
def customers(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    query = CustomerQuery(**asked.model_dump(exclude={"shop"}))
    with opened(request, shop=asked.shop) as (connection, desk):
        found = questions.customers(connection, desk.shop, query)
        slugs = [row.slug for row in questions.slugs(connection, desk.shop) if row.new_customers][:MOST_LINKS]
        networks = _networks.get((desk.shop.shop_id, desk.as_of), lambda: questions.networks(connection, desk.shop))
    filters = {
        "search": query.search, "repeat": query.repeat, "slug": query.slug, "network": query.network,
    }  # fmt: skip
    return page(
        "customers.html",
        desk=desk,
        place="customers",
        query=query,
        found=found,
        is_filtered=any(value is not None for value in filters.values()),
        slugs=_with(query.slug, slugs),
        networks=_with(query.network, networks),
        pages=_pages(found),
        has_next=found.next_cursor is not None and found.offset + found.limit <= FARTHEST_OFFSET,
        address=lambda path="/customers", **changes: link(
            path,
            **{
                "shop": desk.key,
                **filters,
                "sort": None if query.sort == "-last_purchase" else query.sort,
                "limit": None if query.limit == 50 else query.limit,
            }
            | changes,
        ),
    )


@router.get("/customers.csv")
def export(request: Request, asked: Annotated[Exported, Query()]) -> Response:
    owner = session.owner(request)
    query = CustomerFilter(**asked.model_dump(exclude={"shop"}))
    after = stale_after(request)
    return Download(Export(request.app.state.reader, owner, asked.shop, query, stale_after=after))


@router.get("/customers/{customer_id}")
def customer(request: Request, customer_id: str, shop: ShopNamed = None) -> Response:
    with opened(request, shop=shop) as (connection, desk):
        try:
            wanted = UUID(customer_id)
        except ValueError:
            return notice(request, status=404, name="missing")
        history = questions.customer_history(connection, desk.shop, wanted)
    return page(
        "customer.html", desk=desk, place="customers", history=history, customer=history.customer, most=MOST_EVENTS
    )


@router.get("/sign-in")
def sign_in(request: Request, token: str = "") -> Response:
    # Straight on to an address without the token.
    answer = RedirectResponse("/", status_code=303, headers={"Cache-Control": "no-store"})
    session.sign_in(request, answer, token=token)
    return answer


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    answer = notice(request, status=200, name="signed_out")
    session.sign_out(request, answer)
    return answer


def _with(chosen: str | None, choices: list[str]) -> list[str]:
    """What is chosen is among the choices, be it that nobody has it."""
    return choices if chosen is None or chosen in choices else [chosen, *choices]


def _pages(found: CustomerPage) -> list[tuple[int, int]]:
    """Number and offset of the pages to offer: the first, the last that can be reached, and those around this one."""
    last = min((max(found.total, 1) - 1) // found.limit, FARTHEST_OFFSET // found.limit)
    here = found.offset // found.limit
    near = {number for number in range(here - 2, here + 3) if 0 <= number <= last}
    return [(number + 1, number * found.limit) for number in sorted({0, last, *near})]
