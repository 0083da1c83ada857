"""Errors as pages: what is wrong, and what to do."""

from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from ingest.storage.settings import Settings
from regulars.dashboard.errors import (
    BadCursor,
    NoSuchCustomer,
    NoSuchShop,
    NotCountedYet,
    NotFromHere,
    NotLoaded,
    ShopNotNamed,
    TooManyAtOnce,
)
from regulars.dashboard.pages.context import PageContext
from regulars.dashboard.pages.rendering import render
from regulars.dashboard.pages.shop_switch import shop_switch, switch_of_error_page
from regulars.dashboard.security.tokens import NotSignedIn

_NOTICES: dict[type[Exception], tuple[int, str]] = {
    NotSignedIn: (401, "sign_in"),
    NotFromHere: (403, "not_from_here"),
    NoSuchShop: (404, "missing"),
    NoSuchCustomer: (404, "missing"),
    ShopNotNamed: (422, "unreadable"),
    BadCursor: (422, "unreadable"),
    RequestValidationError: (422, "unreadable"),
    NotLoaded: (503, "not_loaded"),
    TooManyAtOnce: (429, "too_many"),
    # Not an error: nothing is known yet.
    NotCountedYet: (200, "not_counted"),
}

_RETRY_AFTER = {429: "2", 503: "30"}

_IN_A_SHOP = ("missing", "unreadable", "not_counted")


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def handle_with_error_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except tuple(_NOTICES) as error:
                status, name = _NOTICES[type(error)]
                return await run_in_threadpool(notice, request, status=status, name=name)

        return handle_with_error_pages


def notice(request: Request, *, status: int, name: str, token: str | None = None) -> Response:
    """A page with a notice, in the frame of the shop where the shop is known. `token` is a sign-in link's."""
    # A page that could not be loaded shows no number, not even the time of the last refresh.
    context: PageContext | None = None if status in _RETRY_AFTER else getattr(request.state, "page_context", None)
    switch = None
    if name in _IN_A_SHOP:
        # The same query would fail in another shop too.
        keeps_query = name != "unreadable"
        if context is None:
            switch = switch_of_error_page(request, keeps_query=keeps_query)
        else:
            switch = shop_switch(request, context.shops, context.shop, keeps_query=keeps_query)
    headers = {"Retry-After": _RETRY_AFTER[status]} if status in _RETRY_AFTER else None
    settings: Settings = request.app.state.settings
    return render(
        request,
        "notice.html",
        status=status,
        headers=headers,
        name=name,
        page=context,
        place=None,
        switch=switch,
        sign_in_url=settings.sign_in_url,
        token=token,
    )
