"""The Bearer API. Each response is about one shop and has the moment of its numbers; an unknown number is never a 0."""

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ingest.storage.connections import Connection
from regulars.dashboard.api.bearer import SignedIn
from regulars.dashboard.api.exact_json import as_json
from regulars.dashboard.api.openapi import PROBLEMS, responses
from regulars.dashboard.api.responses import (
    AcquisitionResponse,
    AnalyticsResponse,
    AtRiskResponse,
    CampaignsResponse,
    CohortsResponse,
    CohortWindowsResponse,
    ForecastResponse,
    HistoryResponse,
    LifetimeValuesResponse,
    LinksResponse,
    ListResponse,
    MovementResponse,
    NetworksResponse,
    PeriodLinksResponse,
    PeriodResponse,
    RepeatRatesResponse,
    SegmentsResponse,
    ShopResponse,
    SlugAnalyticsResponse,
)
from regulars.dashboard.download import Download
from regulars.dashboard.errors import NotCountedYet
from regulars.dashboard.queries import customers, metrics, period_numbers, segments
from regulars.dashboard.queries.exports import Export
from regulars.dashboard.queries.filters import ClampedLimit, CustomerFilter, CustomerQuery, Limit, Text
from regulars.dashboard.queries.freshness import freshness, stale_after
from regulars.dashboard.queries.periods import PeriodQuery
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.queries.shares import Kind
from regulars.dashboard.queries.shops import chosen_shop
from regulars.dashboard.schemas import Shop
from regulars.dashboard.security.tokens import Owner

PREFIX = "/api/admin/customers"
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}

router = APIRouter(prefix=PREFIX, tags=["customers"])

_SHOP = Field(None, description="The shop's slug or id; required where the owner has several shops.")


# The storefront's own pages send these routes the parameters of the storefront's API.
_IGNORES_OTHERS = ConfigDict(frozen=True, extra="ignore")


class ShopQuery(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shop: Text = _SHOP


class StorefrontQuery(ShopQuery):
    model_config = _IGNORES_OTHERS


class ExportQuery(CustomerFilter):
    shop: Text = _SHOP


class ListQuery(CustomerQuery):
    model_config = _IGNORES_OTHERS

    shop: Text = _SHOP
    limit: ClampedLimit = 50


class ShopPeriodQuery(PeriodQuery):
    shop: Text = _SHOP


class AtRiskQuery(ShopQuery):
    limit: Limit = 50


OneShop = Annotated[ShopQuery, Query()]
OneStorefrontShop = Annotated[StorefrontQuery, Query()]

Load = Callable[[Connection, Shop], dict[str, Any]]


@router.get("/analytics", responses=responses(AnalyticsResponse))
def analytics(request: Request, owner: SignedIn, query: OneStorefrontShop) -> Response:
    """The nine cards, and this month beside the last."""
    return _respond(
        request, owner, query.shop, AnalyticsResponse, lambda c, s: metrics.overview(c, s).model_dump(by_alias=True)
    )


@router.get("/acquisition", responses=responses(AcquisitionResponse))
def acquisition(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """New and returning customers of each month, from the first sale to the last, without gaps."""
    return _respond(request, owner, query.shop, AcquisitionResponse, lambda c, s: {"months": metrics.acquisition(c, s)})


@router.get("/repeat-rates", responses=responses(RepeatRatesResponse))
def repeat_rates(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """How many customers came back, by four definitions, each with its numerator and denominator."""
    return _respond(
        request, owner, query.shop, RepeatRatesResponse, lambda c, s: {"months": metrics.repeat_rates(c, s)}
    )


@router.get("/movement", responses=responses(MovementResponse))
def movement(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """New, retained, reactivated and lapsed customers of each month, without gaps."""
    return _respond(request, owner, query.shop, MovementResponse, lambda c, s: {"months": metrics.movement(c, s)})


@router.get("/cohorts", responses=responses(CohortsResponse))
def cohorts(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """How many of each month's new customers bought again, month by month; a future month has no row."""
    return _respond(request, owner, query.shop, CohortsResponse, lambda c, s: {"cohorts": metrics.cohorts(c, s)})


@router.get("/lifetime-values", responses=responses(LifetimeValuesResponse))
def lifetime_values(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """What each month's new customers have brought since, by month; an average is null until its month is over."""
    return _respond(
        request, owner, query.shop, LifetimeValuesResponse, lambda c, s: {"cohorts": metrics.lifetime_values(c, s)}
    )


@router.get("/cohort-windows", responses=responses(CohortWindowsResponse))
def cohort_windows(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """What each month's new customers did within 30, 60, 90, 180 and 365 days of their own first purchase."""
    return _respond(
        request, owner, query.shop, CohortWindowsResponse, lambda c, s: {"cohorts": metrics.cohort_windows(c, s)}
    )


@router.get("/links", responses=responses(LinksResponse))
def links(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """The funnel of each link, with first-touch and last-touch revenue and what its customers bought later."""
    return _respond(request, owner, query.shop, LinksResponse, lambda c, s: {"links": metrics.links(c, s)})


@router.get("/period", responses=responses(PeriodResponse))
def period(request: Request, owner: SignedIn, query: Annotated[ShopPeriodQuery, Query()]) -> Response:
    """Sales, amounts and new customers of a period, beside an earlier one of as many days, and each of its days."""

    def load(connection: Connection, shop: Shop) -> dict[str, Any]:
        asked = period_numbers.period_of(connection, shop, query)
        return {
            "numbers": period_numbers.numbers(connection, shop, asked.counted),
            "compared": period_numbers.numbers(connection, shop, asked.compared),
            "days": metrics.revenue_days(connection, shop, asked.covered) if asked.covered else [],
        }

    return _respond(request, owner, query.shop, PeriodResponse, load)


@router.get("/period-links", responses=responses(PeriodLinksResponse))
def period_links(request: Request, owner: SignedIn, query: Annotated[ShopPeriodQuery, Query()]) -> Response:
    """Visits, conversion, new customers, who of them came back, and their value, by link, in a period's months."""

    def load(connection: Connection, shop: Shop) -> dict[str, Any]:
        asked = period_numbers.period_of(connection, shop, query)
        span = asked.covered or asked.span
        found = period_numbers.links(connection, shop, span)
        return {"first_month": span.first_month, "last_month": span.last_month, "links": found}

    return _respond(request, owner, query.shop, PeriodLinksResponse, load)


@router.get("/campaigns", responses=responses(CampaignsResponse))
def campaigns(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """The funnel of each campaign (utm_source, utm_medium, utm_campaign)."""
    return _respond(request, owner, query.shop, CampaignsResponse, lambda c, s: {"campaigns": metrics.campaigns(c, s)})


@router.get("/networks", responses=responses(NetworksResponse))
def networks(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """Each network's share of each month, and how often customers switched their main network."""
    return _respond(
        request,
        owner,
        query.shop,
        NetworksResponse,
        lambda c, s: {"months": metrics.networks(c, s), "switches": metrics.network_switches(c, s)},
    )


@router.get("/segments", responses=responses(SegmentsResponse))
def shop_segments(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """The segments with how many moved this month, and the customers by their own rhythm."""

    def load(connection: Connection, shop: Shop) -> dict[str, Any]:
        return segments.shop_segments(connection, shop).model_dump() | {
            "segments": segments.segments(connection, shop),
            "states": segments.states(connection, shop),
        }

    return _respond(request, owner, query.shop, SegmentsResponse, load)


@router.get("/at-risk", responses=responses(AtRiskResponse))
def at_risk(request: Request, owner: SignedIn, query: Annotated[AtRiskQuery, Query()]) -> Response:
    """The customers who are at risk today by their own rhythm, why, and what they were worth a month."""
    return _respond(
        request,
        owner,
        query.shop,
        AtRiskResponse,
        lambda c, s: {"customers": segments.at_risk(c, s, limit=query.limit), "limit": query.limit},
        reads="customers",
        if_not_counted={"limit": query.limit},
    )


@router.get("/forecast", responses=responses(ForecastResponse))
def forecast(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """What the customers so far are expected to buy, and how wrong the last predictions were."""
    return _respond(
        request,
        owner,
        query.shop,
        ForecastResponse,
        lambda c, s: {
            "latest_fit": next(iter(metrics.forecast_fits(c, s)), None),
            "horizons": metrics.forecast(c, s),
            "errors": metrics.forecast_errors(c, s),
        },
    )


@router.get("/slug-analytics", responses=responses(SlugAnalyticsResponse))
def slug_analytics(request: Request, owner: SignedIn, query: OneShop) -> Response:
    """What each link brought; `unknown` has the sales without a link, so that the sums match."""
    return _respond(request, owner, query.shop, SlugAnalyticsResponse, lambda c, s: {"slugs": metrics.slugs(c, s)})


@router.get("/list", responses=responses(ListResponse))
def list_customers(request: Request, owner: SignedIn, query: Annotated[ListQuery, Query()]) -> Response:
    """One page of customers."""
    return _respond(
        request,
        owner,
        query.shop,
        ListResponse,
        lambda c, s: dict(customers.customers(c, s, query)),
        reads="customers",
        if_not_counted={"limit": query.limit, "offset": query.offset},
    )


@router.get(
    "/export.csv",
    response_class=Response,
    responses={
        200: {
            "description": "All matching customers, as in the list; UTF-8 with a byte order mark, RFC 4180.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **PROBLEMS,
    },
)
def export(request: Request, owner: SignedIn, query: Annotated[ExportQuery, Query()]) -> Response:
    """All customers that match a filter, as a file for a spreadsheet."""
    return Download(
        Export(request.app.state.reader, owner, query.shop, query, stale_after=stale_after(request.app.state.settings))
    )


@router.get("/{customer_id}/history", responses=responses(HistoryResponse))
def history(request: Request, owner: SignedIn, customer_id: UUID, query: OneStorefrontShop) -> Response:
    """A customer, what to expect of them, their orders, and the visits that brought the orders."""
    return _respond(
        request,
        owner,
        query.shop,
        HistoryResponse,
        lambda c, s: dict(customers.customer_history(c, s, customer_id)),
        reads="customers",
        # Before the first refresh it is unknown whether the customer exists.
        if_not_counted=None,
    )


def _respond(
    request: Request,
    owner: Owner,
    slug: str | None,
    model: type[ShopResponse],
    load: Load,
    *,
    reads: Kind = "numbers",
    if_not_counted: Mapping[str, Any] | None = MappingProxyType({}),
) -> Response:
    """The response with what `load` reads of the owner's shop.

    If no refresh has counted the shop, as_of is null and the response holds `if_not_counted`; with None there,
    NotCountedYet is raised.
    """
    reader: Reader = request.app.state.reader
    with reader.as_owner(owner, reads=reads) as connection:
        shop = chosen_shop(connection, slug)
        fresh = freshness(connection, stale_after=stale_after(request.app.state.settings))
        age = {"as_of": fresh.as_of, "stale": fresh.stale}
        try:
            loaded = load(connection, shop)
        except NotCountedYet:
            if if_not_counted is None:
                raise
            age = {"as_of": None, "stale": True}
            loaded = dict(if_not_counted)
    head = shop.model_dump(include={"shop_id", "currency", "time_zone"})
    return _with_etag(request, as_json(model(**head | loaded | age)))


def _with_etag(request: Request, text: str) -> Response:
    body = text.encode()
    # Weak, because the body may be sent compressed.
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = PRIVATE | {"ETag": etag}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")]
    if etag.removeprefix("W/") in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
