"""Two owners and their three shops, written as the storefront writes them, and the numbers as Python counts them."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from flows.steps import run_refresh
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from tests.conftest import NAME, Database, Server
from tests.storefront import add_shop, fetch
from tests.waiting import wait_past_midnight

SECRET = "the-secret-that-signs-what-owners-show"
BEGAN = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
"""When the latest orders were placed; the months of the others count back from here."""

_STATUSES = [("completed", "completed")] * 6 + [
    ("pending", "completed"), ("processing", "completed"), ("refunded", "completed"), ("failed", "completed"),
    ("pending", "pending"), ("reversed", "completed"),
]  # fmt: skip
_SALES = {"pending", "processing", "completed"}
_SLUGS = ["promo", "flyer", None, "unknown", None]
_CAMPAIGNS = {"promo": ("whatsapp", "status", "spring"), "flyer": ("print", None, None)}
_NAMES = ["Ama", "Kofi 100%", "Esi_Mensah", "Yaw", "<b>Abena</b>", "=1+1", "Ákua", "+cmd|' /C calc'!A0"]


@dataclass(frozen=True, slots=True)
class Order:
    order_id: UUID
    phone: str
    name: str
    email: str | None
    total: Decimal
    profit: Decimal
    order_status: str
    payment_status: str
    at: datetime
    network: str | None
    slug: str | None
    has_visit: bool

    @property
    def is_sale(self) -> bool:
        return self.payment_status == "completed" and self.order_status in _SALES

    @property
    def is_refunded(self) -> bool:
        return self.payment_status == "completed" and self.order_status in ("refunded", "reversed")

    @property
    def reference_code(self) -> str:
        return f"REF-{str(self.order_id)[:8]}"

    @property
    def campaign(self) -> tuple[str | None, str | None, str | None]:
        """Source, medium and name."""
        return _CAMPAIGNS.get(self.slug or "", (None, None, None))

    @property
    def key(self) -> tuple[datetime, UUID]:
        return (self.at, self.order_id)


@dataclass(slots=True)
class Shop:
    shop_id: UUID
    user_id: UUID
    slug: str
    zone: ZoneInfo
    orders: list[Order] = field(default_factory=list)
    empty_visits: Counter[str] = field(default_factory=Counter)

    def day(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()

    def month(self, at: datetime) -> date:
        return self.day(at).replace(day=1)

    @property
    def sales(self) -> list[Order]:
        return sorted((order for order in self.orders if order.is_sale), key=lambda order: order.key)

    @property
    def buyers(self) -> dict[str, list[Order]]:
        """Phone → that customer's sales, the oldest first."""
        found: dict[str, list[Order]] = defaultdict(list)
        for order in self.sales:
            found[order.phone].append(order)
        return found

    def customers(self) -> dict[str, dict[str, Any]]:
        """Phone → the row of the list, without the customer's id."""
        return {phone: _customer(phone, sales, self.orders) for phone, sales in self.buyers.items()}


def _customer(phone: str, sales: list[Order], orders: Iterable[Order]) -> dict[str, Any]:
    first_ever = min((order for order in orders if order.phone == phone), key=lambda order: order.key)
    bought = Counter(order.network for order in sales if order.network)
    spent = sum((order.total for order in sales), Decimal(0))
    return {
        "customer_name": first_ever.name,
        "phone_number": phone,
        "email": first_ever.email,
        "first_purchase_at": sales[0].at,
        "last_purchase_at": sales[-1].at,
        "total_purchases": len(sales),
        "total_spent": spent,
        "total_profit": sum((order.profit for order in sales), Decimal(0)),
        "average_order_value": rounded(spent / len(sales), "0.01"),
        "repeat_customer": len(sales) > 1,
        "first_source_slug": sales[0].slug,
        "last_source_slug": sales[-1].slug,
        "preferred_network": max(
            bought,
            key=lambda network: (
                bought[network],
                max(number for number, order in enumerate(sales) if order.network == network),
            ),
            default=None,
        ),
        "erased_at": None,
    }


def rounded(number: Decimal, step: str) -> Decimal:
    return number.quantize(Decimal(step), rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class TwoOwners:
    ama: UUID
    """Owns two shops."""
    kofi: UUID
    """Owns one, with customers of the same phones."""
    shops: dict[str, Shop]
    template: str

    def of(self, owner: UUID) -> list[Shop]:
        return [shop for shop in self.shops.values() if shop.user_id == owner]


@cache
def two_owners(server: Server, built_template: str) -> TwoOwners:
    """Written and refreshed once a session, under the tests' own name, and kept as a template."""
    database = server.create(NAME, template=built_template)
    dice = random.Random(4)
    owners = TwoOwners(ama=uuid4(), kofi=uuid4(), shops={}, template=f"{NAME}_owners")
    with database.connect() as connection:
        for slug, owner, zone, buyers in (
            ("ama-data", owners.ama, "Africa/Accra", 43),
            ("ama-more", owners.ama, "Pacific/Auckland", 9),
            ("kofi-data", owners.kofi, "Africa/Accra", 12),
        ):
            shop_id = add_shop(connection, slug, timezone=zone)
            connection.execute("update user_shops set user_id = %s where id = %s", [owner, shop_id])
            owners.shops[slug] = shop = Shop(shop_id, owner, slug, ZoneInfo(zone))
            _fill(connection, shop, buyers, dice)
    run_refresh(database.settings)
    server.rename(database, owners.template)
    return owners


def _fill(connection: Connection, shop: Shop, buyers: int, dice: random.Random) -> None:
    for buyer in range(buyers):
        phone, name = f"+23324{1000000 + buyer}", f"{_NAMES[buyer % len(_NAMES)]} {buyer}"
        # Few prices and moments, so that sorting by them has ties.
        for _ in range(dice.choice([1, 1, 2, 3, 5])):
            order_status, payment_status = dice.choice(_STATUSES)
            slug = dice.choice(_SLUGS)
            shop.orders.append(
                Order(
                    order_id=uuid4(),
                    phone=phone,
                    name=name,
                    email=f"buyer_{buyer}@{shop.slug}.example" if buyer % 2 else None,
                    total=Decimal(dice.choice(["5.00", "12.50", "7.10"])),
                    profit=Decimal(dice.choice(["1.00", "0.35"])),
                    order_status=order_status,
                    payment_status=payment_status,
                    at=BEGAN - timedelta(hours=dice.choice([0, 5, 24, 24 * 13, 24 * 40 + 3, 24 * 75 + 11, 24 * 100])),
                    network=dice.choice(["MTN", "Telecel", None]),
                    slug=slug,
                    has_visit=slug is not None or dice.random() < 0.3,
                )
            )
    for order in shop.orders:
        _write(connection, shop, order)
    for slug in ("promo", "promo", "poster"):
        shop.empty_visits[slug] += 1
        connection.execute(
            "insert into regulars.tracking (shop_id, accessed_via_slug, accessed_at) values (%s, %s, %s)",
            [shop.shop_id, slug, BEGAN],
        )
    connection.execute(
        "insert into shop_profits (shop_id, profit_amount, status) values (%(shop)s, 30.00, 'credited'), "
        "(%(shop)s, 9.99, 'pending')",
        {"shop": shop.shop_id},
    )
    connection.execute(
        "insert into withdrawal_requests (shop_id, amount, status) values (%(shop)s, 10.50, 'completed'), "
        "(%(shop)s, 2.00, 'pending')",
        {"shop": shop.shop_id},
    )


def _write(connection: Connection, shop: Shop, order: Order) -> None:
    connection.execute(
        "insert into shop_orders (id, shop_id, customer_name, customer_email, customer_phone, network, volume_gb, "
        "base_price, profit_amount, total_price, order_status, payment_status, reference_code, created_at) "
        "values (%s, %s, %s, %s, %s, %s, 2, %s, %s, %s, %s, %s, %s, %s)",
        [
            order.order_id, shop.shop_id, order.name, order.email, f"0{order.phone[4:]}", order.network,
            order.total - order.profit, order.profit, order.total, order.order_status, order.payment_status,
            order.reference_code, order.at,
        ],
    )  # fmt: skip
    if order.has_visit:
        connection.execute(
            "insert into regulars.tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at, utm_source, "
            "utm_medium, utm_campaign) values (%s, %s, %s, %s, %s, %s, %s)",
            [shop.shop_id, order.order_id, order.slug, order.at - timedelta(minutes=2), *order.campaign],
        )


def count_this_month(database: Database, owners: TwoOwners) -> None:
    """Refreshes where a month has begun for a shop since the last refresh: it isn't counted yet, and pages say so."""
    zones = {shop.zone for shop in owners.shops.values()}
    wait_past_midnight(zones)
    with database.connect() as connection:
        ((as_of,),) = fetch(connection, "select max(as_of) from regulars.refreshes where status = 'succeeded'")
    now = datetime.now(UTC)
    if any(as_of.astimezone(zone).month != now.astimezone(zone).month for zone in zones):
        run_refresh(database.settings)


@contextmanager
def copy_of(server: Server, owners: TwoOwners, *, name: str) -> Iterator[Database]:
    """A database of its own with both owners' shops, dropped after use."""
    try:
        yield server.create(name, template=owners.template)
    finally:
        server.drop(name)


def settings_of(database: Database, **changes: Any) -> Settings:
    return Settings(
        DATABASE_URL=database.conninfo, home=database.settings.home, jwt_secret=SecretStr(SECRET), **changes
    )
