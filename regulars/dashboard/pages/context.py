"""What every page shows: the owner's shops, the chosen one, and the moment that its numbers hold for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Annotated

from fastapi import Query, Request

from ingest.storage.connections import Connection
from regulars.dashboard.errors import NoSuchShop, NotCountedYet
from regulars.dashboard.pages.shop_switch import ShopSwitch, shop_switch
from regulars.dashboard.queries.freshness import freshness, stale_after
from regulars.dashboard.queries.shares import Kind
from regulars.dashboard.queries.shops import chosen_shop, own_shops
from regulars.dashboard.schemas import Freshness, Shop
from regulars.dashboard.security import session

MAX_LINKS = 200
"""In a table or a list to choose from: the links with the largest revenue."""

ShopName = Annotated[str | None, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class PageContext:
    shops: list[Shop]
    shop: Shop
    freshness: Freshness
    switch: ShopSwitch

    @property
    def shop_key(self) -> str | None:
        """The value of `shop` in addresses; None where the owner has only one shop."""
        return _key(self.shop) if len(self.shops) > 1 else None

    @property
    def shop_name(self) -> str:
        return self.shop.shop_name or _key(self.shop)

    @property
    def zone(self) -> tzinfo:
        return self.shop.zone

    @property
    def as_of(self) -> datetime:
        """Raises NotCountedYet."""
        if self.freshness.as_of is None:
            raise NotCountedYet
        return self.freshness.as_of

    @property
    def unfinished_month(self) -> date:
        """First day of the month that was not over at `as_of`."""
        return self.as_of.astimezone(self.zone).date().replace(day=1)


@contextmanager
def open_page(
    request: Request, *, shop: str | None, reads: Kind = "numbers"
) -> Iterator[tuple[Connection, PageContext]]:
    """One transaction for the whole page, so that its numbers agree.

    Without `shop` it is the first of the owner's shops. Raises NotSignedIn, NoSuchShop, TooManyAtOnce and NotLoaded.
    """
    owner = session.owner(request)
    with request.app.state.reader.as_owner(owner, reads=reads) as connection:
        shops = own_shops(connection)
        if not shops:
            raise NoSuchShop
        chosen = shops[0] if shop is None else chosen_shop(connection, shop)
        fresh = freshness(connection, stale_after=stale_after(request.app.state.settings))
        context = PageContext(shops, chosen, fresh, shop_switch(request, shops, chosen))
        request.state.page_context = context
        yield connection, context


def _key(shop: Shop) -> str:
    return shop.shop_slug or str(shop.shop_id)
