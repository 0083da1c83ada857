"""A survey of the storefront's own tables, before a migration changes anything."""

from dataclasses import dataclass

from ingest.storage.connections import Connection

TABLES = ("user_shops", "shop_orders", "shop_profits", "withdrawal_requests")
_EARLIER = ("shop_customers", "customer_tracking")

_TABLE = """
    select
        greatest(c.reltuples, 0)::bigint,
        exists (
            select 1
            from pg_attribute as a
            where a.attrelid = c.oid and a.attname = 'created_at' and a.atttypid = 'timestamp'::regtype
        )
    from pg_class as c
    where c.oid = to_regclass('public.' || %s)
"""

_SHOPS = """
    select country, timezone, currency, count(*)
    from public.user_shops
    group by country, timezone, currency
    order by count(*) desc, country, timezone, currency
"""


@dataclass(frozen=True, slots=True)
class StandingTable:
    """An existing table of the storefront. `rows` is the planner's estimate."""

    name: str
    rows: int
    has_naive_times: bool


@dataclass(frozen=True, slots=True)
class ShopSettings:
    """How many shops have this country, time zone and currency."""

    country: str | None
    time_zone: str | None
    currency: str | None
    shops: int


@dataclass(frozen=True, slots=True)
class Storefront:
    """A migration creates `missing` tables; `earlier` ones belong to a customer tracking from before Regulars."""

    standing: list[StandingTable]
    missing: list[str]
    earlier: list[StandingTable]


def survey(connection: Connection) -> Storefront:
    """Reads only the catalogue; locks nothing."""
    found = {name: _standing(connection, name) for name in (*TABLES, *_EARLIER)}
    return Storefront(
        standing=[table for name in TABLES if (table := found[name])],
        missing=[name for name in TABLES if not found[name]],
        earlier=[table for name in _EARLIER if (table := found[name])],
    )


def shop_settings(connection: Connection) -> list[ShopSettings]:
    """The settings of all shops, the most frequent first. The columns must exist."""
    return [ShopSettings(*row) for row in connection.execute(_SHOPS)]


def _standing(connection: Connection, name: str) -> StandingTable | None:
    row = connection.execute(_TABLE, [name]).fetchone()
    return StandingTable(name, *row) if row else None
