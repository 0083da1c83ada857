"""The Bearer API: each answer is one shop's, with as of when it holds, and never a 0 for what could not be read."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ingest.storage.connections import Connection
from regulars.dashboard.api import openapi as contract
from regulars.dashboard.api.openapi import Answer, ExportQuery, ListQuery, ShopQuery
from regulars.dashboard.api.schemas import Freshness, Shop, as_json
from regulars.dashboard.errors import NotCountedYet
from regulars.dashboard.queries import shop as questions
from regulars.dashboard.queries.csv_export import Download, Export
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.security.tokens import Keys, NotSignedIn, Owner

PREFIX = "/api/admin/customers"
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}

router = APIRouter(prefix=PREFIX)

_bearer = HTTPBearer(
    auto_error=False, bearerFormat="JWT", description="A JWT whose `sub` is the user_id of the owner's shops."
)


async def _signed_in(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Owner:
    # Not in a thread of its own: it takes a tenth of a millisecond.
    if given is None:
        raise NotSignedIn("missing")
    keys: Keys = request.app.state.keys
    return keys.verify(given.credentials)


SignedIn = Annotated[Owner, Depends(_signed_in)]
OfShop = Annotated[ShopQuery, Query()]

Made = Callable[[Connection, Shop], dict[str, Any]]


@router.get("/analytics", responses=contract.answers(contract.AnalyticsAnswer))
def analytics(request: Request, owner: SignedIn, query: OfShop) -> Response:
    """The nine cards, and this month beside the last."""

    def made(connection: Connection, shop: Shop) -> dict[str, Any]:
        cards = questions.overview(connection, shop).model_dump()
        cards["total_revenue"] = cards.pop("customer_revenue")
        return {name: cards[name] for name in contract.AnalyticsAnswer.model_fields if name in cards}

    return _answer(request, owner, query.shop, contract.AnalyticsAnswer, made)


@router.get("/acquisition", responses=contract.answers(contract.AcquisitionAnswer))
def acquisition(request: Request, owner: SignedIn, query: OfShop) -> Response:
    """New and returning customers of each month, from the first sale to the last, without gaps."""
    return _answer(
        request, owner, query.shop, contract.AcquisitionAnswer, lambda c, s: {"months": questions.acquisition(c, s)}
    )


@router.get("/repeat-rates", responses=contract.answers(contract.RepeatRatesAnswer))
def repeat_rates(request: Request, owner: SignedIn, query: OfShop) -> Response:
    """How many of each month's customers had bought before."""
    return _answer(
        request, owner, query.shop, contract.RepeatRatesAnswer, lambda c, s: {"months": questions.repeat_rates(c, s)}
    )


@router.get("/cohorts", responses=contract.answers(contract.CohortsAnswer))
def cohorts(request: Request, owner: SignedIn, query: OfShop) -> Response:
    """How many of each month's new customers bought again, month by month; a month to come has no row."""
    return _answer(
        request, owner, query.shop, contract.CohortsAnswer, lambda c, s: {"cohorts": questions.cohorts(c, s)}
    )


@router.get("/slug-analytics", responses=contract.answers(contract.SlugAnalyticsAnswer))
def slug_analytics(request: Request, owner: SignedIn, query: OfShop) -> Response:
    """What each link has brought; `unknown` keeps what came by none, so that the sums match."""
    return _answer(
        request, owner, query.shop, contract.SlugAnalyticsAnswer, lambda c, s: {"slugs": questions.slugs(c, s)}
    )


@router.get("/list", responses=contract.answers(contract.ListAnswer))
def list_customers(request: Request, owner: SignedIn, query: Annotated[ListQuery, Query()]) -> Response:
    """One page of customers."""

    def made(connection: Connection, shop: Shop) -> dict[str, Any]:
        return dict(questions.customers(connection, shop, query))

    uncounted = {"limit": query.limit, "offset": query.offset}
    return _answer(request, owner, query.shop, contract.ListAnswer, made, uncounted=uncounted)


@router.get(
    "/export.csv",
    response_class=Response,
    responses={
        200: {
            "description": "All customers of the filter, as the list has them; UTF-8 with a byte order mark, RFC 4180.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **contract.PROBLEMS,
    },
)
def export(request: Request, owner: SignedIn, query: Annotated[ExportQuery, Query()]) -> Response:
    """All customers of a filter as a file for a spreadsheet."""
    return Download(Export(request.app.state.reader, owner, query.shop, query, stale_after=_stale_after(request)))


@router.get("/{customer_id}/history", responses=contract.answers(contract.HistoryAnswer))
def history(request: Request, owner: SignedIn, customer_id: UUID, query: OfShop) -> Response:
    """A customer, what they ordered, and the visits that brought the orders."""

    def made(connection: Connection, shop: Shop) -> dict[str, Any]:
        return dict(questions.customer_history(connection, shop, customer_id))

    # Where nobody was counted it is not known whether there is such a customer.
    return _answer(request, owner, query.shop, contract.HistoryAnswer, made, uncounted=None)


def _answer(
    request: Request,
    owner: Owner,
    slug: str | None,
    model: type[Answer],
    made: Made,
    *,
    uncounted: Mapping[str, Any] | None = MappingProxyType({}),
) -> Response:
    """What `made` finds in the owner's shop. Of one that was never counted nothing is known, and as_of is null."""
    reader: Reader = request.app.state.reader
    with reader.as_owner(owner) as connection:
        shop = questions.chosen_shop(connection, slug)
        fresh = questions.freshness(connection, stale_after=_stale_after(request))
        try:
            found = made(connection, shop)
        except NotCountedYet:
            if uncounted is None:
                raise
            fresh = Freshness(as_of=None, refreshed_at=None, stale=True, has_failed=fresh.has_failed)
            found = dict(uncounted)
    head = shop.model_dump(include={"shop_id", "currency", "time_zone"})
    return _with_etag(request, as_json(model(**head | found | {"as_of": fresh.as_of, "stale": fresh.stale})))


def _with_etag(request: Request, text: str) -> Response:
    body = text.encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = PRIVATE | {"ETag": etag}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def _stale_after(request: Request) -> timedelta:
    return timedelta(hours=request.app.state.settings.stale_after_hours)
