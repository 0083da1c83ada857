"""The owner's shops as the dashboard reads them from the storefront's own table."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID, uuid4

import pytest

from ingest.storage.connections import Connection
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.queries.shops import own_shops
from regulars.dashboard.schemas import Shop
from regulars.dashboard.security.tokens import Owner
from tests.conftest import Database
from tests.owners import settings_of
from tests.storefront import add_shop, fetch


@pytest.fixture
def connection(migrated: Database) -> Iterator[Connection]:
    with migrated.connect() as connection:
        # As in a storefront whose columns were there before.
        for column in ("country", "currency", "timezone"):
            connection.execute(f"alter table user_shops alter column {column} drop not null".encode())
        yield connection


def _add(connection: Connection, owner: UUID, zone: str | None, *, currency: str | None, country: str | None) -> UUID:
    shop_id = add_shop(connection, str(uuid4()))
    connection.execute(
        "update user_shops set user_id = %s, timezone = %s, currency = %s, country = %s where id = %s",
        [owner, zone, currency, country, shop_id],
    )
    return shop_id


def _read(database: Database, owner: UUID) -> dict[UUID, Shop]:
    """The shops as their owner reads them."""
    reader = Reader(settings_of(database))
    reader.open()
    try:
        with reader.as_owner(Owner(str(owner)), reads="numbers") as connection:
            return {shop.shop_id: shop for shop in own_shops(connection)}
    finally:
        reader.close()


def test_the_zone_of_the_pages_is_that_of_the_marts(migrated: Database, connection: Connection) -> None:
    names = (
        "Africa/Accra", "africa/lagos", "+03:00", "-05:30", "XYZ-3", "EST", "CET", "EAT", "Etc/GMT+9", "Mars/Olympus",
    )  # fmt: skip
    owner = uuid4()
    for name in names:
        _add(connection, owner, name, currency="GHS", country="GH")
    shops = _read(migrated, owner)
    # With and without daylight saving time.
    for month in ("2026-01-15 12:00+00", "2026-07-15 12:00+00"):
        counted = fetch(
            connection,
            "select id, %s::timestamptz at time zone case when regulars.is_time_zone(timezone) then timezone "
            "else 'UTC' end from user_shops",
            month,
        )
        moment = datetime.fromisoformat(month)
        local = {shop.shop_id: moment.astimezone(shop.zone).replace(tzinfo=None) for shop in shops.values()}
        assert local == dict(counted)
    named = {shop.time_zone for shop in shops.values()}
    assert {"Africa/Lagos", "UTC-03:00", "UTC+05:30", "UTC"} <= named


def test_a_shop_without_country_currency_and_zone_has_those_of_the_marts(
    migrated: Database, connection: Connection
) -> None:
    owner = uuid4()
    known = _add(connection, owner, "Africa/Lagos", currency="NGN", country="NG")
    unknown = _add(connection, owner, None, currency=None, country=None)
    shops = _read(migrated, owner)
    assert (shops[known].country, shops[known].currency) == ("NG", "NGN")
    # Without a country, no local number is read: neither by the matching.
    assert (shops[unknown].country, shops[unknown].currency, shops[unknown].time_zone) == ("", "GHS", "UTC")
