"""What every page stands on: the owner's shops, the one that is looked at, and as of when its numbers hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from fastapi import Request

from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from regulars.dashboard.api.schemas import Freshness, Shop
from regulars.dashboard.errors import NoSuchShop, NotCountedYet
from regulars.dashboard.pages.formatting import zone_of
from regulars.dashboard.queries import shop as questions
from regulars.dashboard.security import session


@dataclass(frozen=True, slots=True)
class Desk:
    shops: list[Shop]
    shop: Shop
    freshness: Freshness

    @property
    def key(self) -> str | None:
        """How addresses name the shop; None where the owner has only this one."""
        return _key(self.shop) if len(self.shops) > 1 else None

    @property
    def name(self) -> str:
        return self.shop.shop_name or _key(self.shop)

    @property
    def zone(self) -> tzinfo:
        return zone_of(self.shop.time_zone)

    @property
    def as_of(self) -> datetime:
        """Raises NotCountedYet."""
        if self.freshness.as_of is None:
            raise NotCountedYet
        return self.freshness.as_of

    @property
    def running(self) -> date:
        """First day of the month that is not over, as the numbers know it."""
        return self.as_of.astimezone(self.zone).date().replace(day=1)


@contextmanager
def opened(request: Request, *, shop: str | None) -> Iterator[tuple[Connection, Desk]]:
    """One transaction for the whole page, so that its numbers agree.

    Without a name the first of the owner's shops is looked at. Raises NotSignedIn, NoSuchShop and NotLoaded.
    """
    owner = session.owner(request)
    with request.app.state.reader.as_owner(owner) as connection:
        shops = questions.own_shops(connection)
        if not shops:
            raise NoSuchShop
        chosen = shops[0] if shop is None else questions.chosen_shop(connection, shop)
        freshness = questions.freshness(connection, stale_after=stale_after(request))
        desk = Desk(shops=shops, shop=chosen, freshness=freshness)
        request.state.desk = desk
        yield connection, desk


def stale_after(request: Request) -> timedelta:
    settings: Settings = request.app.state.settings
    return timedelta(hours=settings.stale_after_hours)


def _key(shop: Shop) -> str:
    return shop.shop_slug or str(shop.shop_id)
