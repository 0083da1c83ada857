"""The switch between an owner's shops, which keeps the page and its query."""

from dataclasses import dataclass

from fastapi import Request

from regulars.dashboard.errors import NotLoaded, TooManyAtOnce
from regulars.dashboard.pages.rendering import link
from regulars.dashboard.queries.shops import own_shops
from regulars.dashboard.schemas import Shop
from regulars.dashboard.security import session
from regulars.dashboard.security.tokens import NotSignedIn

_PAGES = ("/", "/customers", "/retention", "/links", "/forecast", "/segments")

# A cursor of one shop's list is invalid in another's.
_NOT_KEPT = ("shop", "cursor", "offset")


@dataclass(frozen=True, slots=True)
class ShopSwitch:
    shops: list[Shop]
    shown: Shop | None
    """None on an error page without a shop."""
    path: str
    query: dict[str, str]

    def address(self, shop: Shop) -> str:
        """This page for another shop."""
        return link(self.path, **self.query | {"shop": shop.shop_slug or shop.shop_id})


def shop_switch(request: Request, shops: list[Shop], shown: Shop | None, *, keeps_query: bool = True) -> ShopSwitch:
    path = request.url.path
    # Other paths lead to the nearest page: a customer belongs to one shop, a file isn't a page, and a token is secret.
    kept = path if path in _PAGES else "/customers" if path.startswith("/customers") else "/"
    query = {name: value for name, value in request.query_params.items() if name not in _NOT_KEPT}
    return ShopSwitch(shops, shown, kept, query if kept == path and keeps_query else {})


def switch_of_error_page(request: Request, *, keeps_query: bool) -> ShopSwitch | None:
    """For a page that failed before it knew its shop. None where nobody is signed in, or nothing can be loaded."""
    try:
        with request.app.state.reader.as_owner(session.owner(request)) as connection:
            return shop_switch(request, own_shops(connection), None, keeps_query=keeps_query)
    except (NotSignedIn, NotLoaded, TooManyAtOnce):
        return None
