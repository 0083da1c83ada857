"""The shops of the owner who is signed in."""

from datetime import timezone

from ingest.storage.connections import Connection
from regulars.dashboard.errors import NoSuchShop, ShopNotNamed
from regulars.dashboard.queries.select import fetch, select
from regulars.dashboard.schemas import Shop
from regulars.dashboard.zones import exact_name


def own_shops(connection: Connection) -> list[Shop]:
    """Every shop of the owner, by name, each with the zone in which the marts count its days."""
    shops = select(connection, Shop, "order by shop_name, shop_slug, shop_id", [])
    return [shop.model_copy(update={"time_zone": _zone_name(connection, shop.time_zone)}) for shop in shops]


def chosen_shop(connection: Connection, slug: str | None) -> Shop:
    """The owner's shop with this slug or id; without one, the owner's only shop.

    Raises NoSuchShop, also where the shop is another owner's, and ShopNotNamed.
    """
    shops = own_shops(connection)
    if slug is not None:
        shops = [shop for shop in shops if slug in (shop.shop_slug, str(shop.shop_id))]
    if not shops:
        raise NoSuchShop
    if len(shops) > 1:
        raise ShopNotNamed([shop.shop_slug or str(shop.shop_id) for shop in shops])
    return shops[0]


def _zone_name(connection: Connection, name: str) -> str:
    if (exact := exact_name(name)) is not None:
        return exact
    # One of the server's abbreviations, or unknown.
    offset = "select utc_offset from pg_timezone_abbrevs where abbrev = upper(%s)"
    return next((str(timezone(utc_offset)) for (utc_offset,) in fetch(connection, offset, [name])), "UTC")
