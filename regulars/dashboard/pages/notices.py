"""Errors as pages: what is the matter, and what to do."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from regulars.dashboard.errors import BadCursor, NoSuchCustomer, NoSuchShop, NotCountedYet, NotLoaded, ShopNotNamed
from regulars.dashboard.pages.rendering import page
from regulars.dashboard.security.tokens import NotSignedIn

_TOLD: dict[type[Exception], tuple[int, str]] = {
    NotSignedIn: (401, "sign_in"),
    NoSuchShop: (404, "missing"),
    NoSuchCustomer: (404, "missing"),
    ShopNotNamed: (422, "unreadable"),
    BadCursor: (422, "unreadable"),
    RequestValidationError: (422, "unreadable"),
    NotLoaded: (503, "not_loaded"),
    # Not an error: the page is right, and nothing is known yet.
    NotCountedYet: (200, "not_counted"),
}


class Page(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        answer = super().get_route_handler()

        async def answer_with_a_page(request: Request) -> Response:
            try:
                return await answer(request)
            except tuple(_TOLD) as error:
                status, name = _TOLD[type(error)]
                return notice(request, status=status, name=name)

        return answer_with_a_page


def notice(request: Request, *, status: int, name: str) -> Response:
    """The page of an error, in the frame of the shop where that is known."""
    # Of a page that could not be loaded nothing is to be taken for a number of it, the time of the last one neither.
    desk: Any = None if status == 503 else getattr(request.state, "desk", None)
    headers = {"Retry-After": "30"} if status == 503 else None
    return page("notice.html", status=status, headers=headers, name=name, desk=desk, place=None)
