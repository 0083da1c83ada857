"""The sample shops as raw rows, and their orders as Python reads them: what the answers are counted from."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from math import ceil
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from ingest.storage.connections import Connection
from regulars.demo.sample_data import Order as SampleOrder
from regulars.demo.sample_data import SampleData, Shop, Visit
from tests.scores import Grid

# The moment at which the tests ask.
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)

Row = tuple[object, ...]
Value = TypeVar("Value", int, Decimal)


@dataclass(frozen=True, slots=True)
class Order:
    """An order with the status policy applied; `buyer` is None where the phone can't be read."""

    shop: str
    currency: str
    buyer: UUID | None
    order_id: UUID
    at: datetime
    day: date
    hour: int
    network: str
    slug: str
    link: str
    campaign: tuple[str, str, str]
    """Source, medium and name; `unknown` where the visit has none."""
    is_sale: bool
    gross: Decimal
    profit: Decimal

    @property
    def net(self) -> Decimal:
        return self.gross if self.is_sale else Decimal(0)

    @property
    def month(self) -> date:
        return self.day.replace(day=1)


@dataclass(frozen=True, slots=True)
class SampleShops:
    connection: Connection
    data: SampleData
    orders: list[Order]
    grid: Grid

    def shops(self) -> Iterator[tuple[str, str, list[Order]]]:
        """Each shop's slug and currency, and its orders by time."""
        for shop in self.data.shops:
            orders = [order for order in self.orders if order.shop == shop.slug]
            yield shop.slug, shop.currency, sorted(orders, key=lambda order: (order.at, order.order_id))

    def today(self, shop: str) -> date:
        """The shop's current local day."""
        (zone,) = (each.time_zone for each in self.data.shops if each.slug == shop)
        return NOW.astimezone(ZoneInfo(zone)).date()


def write_shop(connection: Connection, shop: Shop) -> None:
    """The shop's year in its final state, without ingest: the refresh matches the customers."""
    row = (shop.shop_id, shop.owner_id, shop.name, shop.slug, shop.country, shop.time_zone, shop.currency)
    _copy(connection, "public.user_shops", "id user_id shop_name shop_slug country timezone currency", [row])
    _copy(
        connection,
        "public.shop_orders",
        "id shop_id customer_phone network base_price profit_amount total_price order_status payment_status created_at",
        [
            (o.checkout.order_id, shop.shop_id, o.checkout.phone, _network(o), o.base_price, o.profit_amount,
                o.base_price + o.profit_amount, *o.history[-1][:2], o.history[0][-1])
            for o in shop.orders
        ],
    )  # fmt: skip
    slugs = [(shop.shop_id, link.slug, link.label, link.valid_from, link.valid_to) for link in shop.links]
    _copy(connection, "public.shop_slugs", "shop_id slug label valid_from valid_to", slugs)
    # The link of an order that checkout never tracked is unknown.
    tracked = [order for order in shop.orders if order.calls]
    bought = {o.checkout.visit_id: o.checkout.order_id for o in tracked if o.checkout.visit_id}
    visits = [(shop.shop_id, bought.get(v.visit_id), v.slug, v.accessed_at, *_campaign(v)) for v in shop.visits]
    visits += [
        (shop.shop_id, o.checkout.order_id, o.checkout.slug, o.checkout.accessed_at, None, None, None)
        for o in tracked
        if not o.checkout.visit_id
    ]
    columns = "shop_id shop_order_id accessed_via_slug accessed_at utm_source utm_medium utm_campaign"
    _copy(connection, "regulars.tracking", columns, visits)


def _network(order: SampleOrder) -> str:
    """Sample people stay with one network; every third order is for another, so that some switch."""
    return "Surf" if order.checkout.order_id.int % 3 == 0 else order.network


def _campaign(visit: Visit) -> tuple[str | None, str | None, str | None]:
    """Sample visits belong to no named campaign; of the tagged ones, every other does here."""
    name = "spring" if visit.utm_source and visit.visit_id.int % 2 else None
    return visit.utm_source, visit.utm_medium, name


def campaign_of(visit: Visit | None) -> tuple[str, str, str]:
    source, medium, name = _campaign(visit) if visit else (None, None, None)
    return source or "unknown", medium or "unknown", name or "unknown"


def _copy(connection: Connection, table: str, columns: str, rows: Iterable[Row]) -> None:
    statement = f"copy {table} ({', '.join(columns.split())}) from stdin"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def with_policy(shop: Shop, people: dict[tuple[object, object], object]) -> Iterator[Order]:
    visits, zone = {visit.visit_id: visit for visit in shop.visits}, ZoneInfo(shop.time_zone)
    labels = {link.slug: link.label for link in shop.links}
    for order in shop.orders:
        checkout, (status, payment, _) = order.checkout, order.history[-1]
        at = order.history[0][-1]
        local = at.astimezone(zone)
        visit = visits[checkout.visit_id] if checkout.visit_id else None
        slug = ((visit.slug if visit else checkout.slug) if order.calls else None) or "unknown"
        is_paid = payment == "completed" and status not in ("failed", "cancelled")
        buyer = people[shop.shop_id, order.line] if order.line else None
        assert buyer is None or isinstance(buyer, UUID)
        yield Order(
            shop=shop.slug, currency=shop.currency, buyer=buyer, order_id=checkout.order_id, at=at,
            day=local.date(), hour=local.hour, network=_network(order),
            slug=slug, link=labels.get(slug, slug),
            campaign=campaign_of(visit if order.calls else None),
            is_sale=is_paid and status not in ("refunded", "reversed"),
            gross=order.base_price + order.profit_amount if is_paid else Decimal(0), profit=order.profit_amount,
        )  # fmt: skip


def purchases(orders: list[Order]) -> dict[UUID, list[Order]]:
    bought: dict[UUID, list[Order]] = defaultdict(list)
    for order in orders:
        if order.is_sale and order.buyer:
            bought[order.buyer].append(order)
    return bought


def rounded(number: Decimal, step: str) -> Decimal:
    return number.quantize(Decimal(step), rounding=ROUND_HALF_UP)


def percentage(part: Decimal | int, whole: Decimal | int) -> Decimal:
    return rounded(100 * Decimal(part) / Decimal(whole), "0.1")


def percentile(values: list[Value], share: float) -> Value:
    return sorted(values)[ceil(share * len(values)) - 1]
