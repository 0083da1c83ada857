"""Random histories of the raw rows, written by SQL past ingest: what shops, orders and visits go through."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID, uuid5

from hypothesis import strategies as st

from ingest.storage.connections import Connection

_NAMESPACE = UUID("6f9f1a52-58a4-4bb5-8f0a-0a4b8f6c2c11")
_ZONES = ("Africa/Accra", "America/New_York", "Pacific/Auckland", "Asia/Kolkata", "Not/AZone")
_PHONES = (
    "0241234567", "024 123 4567", "+233241234567", "0201234567", "020-123-4567", "0541234567", "12", None, "call me",
)  # fmt: skip
_SLUGS = ("ama-data", "promo", "march", "", None)
_NETWORKS = ("MTN", "Telecel", "AT", None)
_ORDER_STATUSES = (
    "pending",
    "processing",
    "completed",
    "refunded",
    "reversed",
    "failed",
    "cancelled",
    "Completed ",
)
_PAYMENT_STATUSES = ("completed", "completed", "completed", "pending", "failed")
_AMOUNTS = (Decimal("0"), Decimal("4.50"), Decimal("10.00"), Decimal("99999.99"), Decimal("NaN"))
# Around the ends of months and of daylight saving time, where zones disagree about the day.
_MOMENTS = tuple(
    datetime.fromisoformat(text).replace(tzinfo=UTC)
    for text in (
        "2025-12-31T23:30:00", "2026-01-01T00:30:00", "2026-01-31T12:00:00", "2026-02-01T04:30:00",
        "2026-03-08T06:59:59", "2026-03-29T01:00:00", "2026-03-31T23:59:59", "2026-06-15T12:00:00",
        "2026-06-15T12:00:00", "2024-02-29T23:00:00",
    )
)  # fmt: skip


class Step(NamedTuple):
    """A change: `what` happens, to the row and with the values that the numbers choose."""

    what: str
    which: int
    how: int
    also: int


Row = tuple[object, ...]
History = list[tuple[list[Step], list[Step]]]


def _pick(connection: Connection, table: str, number: int) -> Row | None:
    """One row's (id, shop_id), by number; None where the table is empty."""
    columns = "id, id" if table == "user_shops" else "id, shop_id"
    rows = connection.execute(f"select {columns} from {table} order by id").fetchall()  # type: ignore[arg-type]
    return rows[number % len(rows)] if rows else None


def _insert_order(connection: Connection, step: Step) -> None:
    shop = _pick(connection, "user_shops", step.which)
    count = connection.execute("select count(*) from public.shop_orders").fetchone()
    assert shop
    assert count
    connection.execute(
        "insert into public.shop_orders (id, shop_id, customer_phone, network, profit_amount, total_price, "
        "order_status, payment_status, created_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict do nothing",
        [
            uuid5(_NAMESPACE, f"order {count[0]} {step}"), shop[0], _PHONES[step.how % len(_PHONES)],
            _NETWORKS[step.also % 4], _AMOUNTS[step.how % 3], _AMOUNTS[step.also % 5],
            _ORDER_STATUSES[step.how % 8 if step.also % 3 == 0 else 2],
            _PAYMENT_STATUSES[step.how % 5], _MOMENTS[step.also % len(_MOMENTS)],
        ],
    )  # fmt: skip


def _insert_orders(connection: Connection, step: Step) -> None:
    for number in range(6):
        _insert_order(connection, Step(step.what, step.which + number // 3, step.how + number, step.also * 7 + number))


def _update(table: str, column: str, values: tuple[object, ...]) -> Callable[[Connection, Step], None]:
    def change(connection: Connection, step: Step) -> None:
        if row := _pick(connection, table, step.which):
            connection.execute(
                f"update {table} set {column} = %s where id = %s",  # type: ignore[arg-type]
                [values[step.how % len(values)], row[0]],
            )

    return change


def _delete(table: str) -> Callable[[Connection, Step], None]:
    def remove(connection: Connection, step: Step) -> None:
        if row := _pick(connection, table, step.which):
            connection.execute(f"delete from {table} where id = %s", [row[0]])  # type: ignore[arg-type]

    return remove


def _move_order(connection: Connection, step: Step) -> None:
    order, shop = _pick(connection, "shop_orders", step.which), _pick(connection, "user_shops", step.how)
    if order and shop:
        connection.execute(
            "update public.shop_orders set shop_id = %s where id = %s",
            [shop[0], order[0]],
        )


def _relink_order(connection: Connection, step: Step) -> None:
    order, customer = (
        _pick(connection, "shop_orders", step.which),
        _pick(connection, "regulars.customers", step.how),
    )
    if order and customer and order[1] == customer[1]:
        connection.execute(
            "update regulars.tracking set shop_customer_id = %s where shop_order_id = %s and shop_id = %s",
            [customer[0], order[0], order[1]],
        )


def _insert_visit(connection: Connection, step: Step) -> None:
    shop = _pick(connection, "user_shops", step.which)
    assert shop
    connection.execute(
        "insert into regulars.tracking (shop_id, accessed_via_slug, accessed_at) values (%s, %s, %s)",
        [shop[0], _SLUGS[step.how % 5], _MOMENTS[step.also % len(_MOMENTS)]],
    )


def _complete_visit(connection: Connection, step: Step) -> None:
    visit, order = (
        _pick(connection, "regulars.tracking", step.which),
        _pick(connection, "shop_orders", step.how),
    )
    if visit and order:
        connection.execute("update regulars.tracking set shop_order_id = null where shop_order_id = %s", [order[0]])
        connection.execute("update regulars.tracking set shop_order_id = %s where id = %s", [order[0], visit[0]])


def _insert_slug(connection: Connection, step: Step) -> None:
    if (slug := _SLUGS[step.how % 5]) and (shop := _pick(connection, "user_shops", step.which)):
        # The same slug with a blank after it: another row of the storefront's, and the same link of ours.
        slug += " " * (step.which // 3 % 2)
        connection.execute(
            "insert into public.shop_slugs (shop_id, slug, label, valid_from) values (%s, %s, %s, %s) "
            "on conflict (slug) do update set shop_id = excluded.shop_id, label = excluded.label, "
            "valid_from = excluded.valid_from",
            [
                shop[0],
                slug,
                (None, "WhatsApp", "poster", "call 0241112223")[step.also % 4],
                _MOMENTS[step.also % len(_MOMENTS)],
            ],
        )


def _campaign(connection: Connection, step: Step) -> None:
    if visit := _pick(connection, "regulars.tracking", step.which):
        connection.execute(
            "update regulars.tracking set utm_source = %s, utm_campaign = %s where id = %s",
            [(None, "whatsapp", "ama@x.com")[step.how % 3], (None, "march")[step.also % 2], visit[0]],
        )


def _delete_slugs(connection: Connection, step: Step) -> None:
    connection.execute("delete from public.shop_slugs where trim(slug) = %s", [_SLUGS[step.how % 5]])


def _insert_profit(connection: Connection, step: Step) -> None:
    if order := _pick(connection, "shop_orders", step.which):
        connection.execute(
            "insert into public.shop_profits (shop_id, shop_order_id, profit_amount, status) values (%s, %s, %s, %s)",
            [order[1], order[0], _AMOUNTS[step.how % 4], ("pending", "credited", "withdrawn")[step.also % 3]],
        )


def _insert_withdrawal(connection: Connection, step: Step) -> None:
    shop = _pick(connection, "user_shops", step.which)
    assert shop
    connection.execute(
        "insert into public.withdrawal_requests (shop_id, amount, status) values (%s, %s, %s)",
        [
            shop[0],
            _AMOUNTS[step.how % 4],
            ("pending", "approved", "processing", "completed", "rejected")[step.also % 5],
        ],
    )


def _truncate_profits(connection: Connection, step: Step) -> None:
    if step.how % 4 == 0:
        connection.execute("truncate public.shop_profits")


_CHANGES: dict[str, Callable[[Connection, Step], None]] = {
    "insert order": _insert_order,
    "insert orders": _insert_orders,
    "order's status": _update("shop_orders", "order_status", _ORDER_STATUSES),
    "order's payment": _update("shop_orders", "payment_status", _PAYMENT_STATUSES),
    "order's amount": _update("shop_orders", "total_price", _AMOUNTS),
    "order's phone": _update("shop_orders", "customer_phone", _PHONES),
    "order's moment": _update("shop_orders", "created_at", _MOMENTS),
    "order's network": _update("shop_orders", "network", _NETWORKS),
    "order's shop": _move_order,
    "order's customer": _relink_order,
    "delete order": _delete("shop_orders"),
    "delete customer": _delete("regulars.customers"),
    "insert visit": _insert_visit,
    "visit's slug": _update("regulars.tracking", "accessed_via_slug", _SLUGS),
    "visit's moment": _update("regulars.tracking", "accessed_at", _MOMENTS),
    "visit's order": _complete_visit,
    "delete visit": _delete("regulars.tracking"),
    "shop's zone": _update("user_shops", "timezone", _ZONES),
    "shop's country": _update("user_shops", "country", ("GH", "US")),
    "shop's currency": _update("user_shops", "currency", ("GHS", "USD")),
    "visit's campaign": _campaign,
    "slug's link": _insert_slug,
    "delete slug": _delete_slugs,
    "insert profit": _insert_profit,
    "profit's status": _update("shop_profits", "status", ("pending", "credited", "withdrawn")),
    "delete profit": _delete("shop_profits"),
    "truncate profits": _truncate_profits,
    "insert withdrawal": _insert_withdrawal,
    "withdrawal's status": _update("withdrawal_requests", "status", ("pending", "approved", "completed", "rejected")),
    "delete withdrawal": _delete("withdrawal_requests"),
}

_numbers = st.integers(min_value=0, max_value=1000)


def _steps(names: list[str], *, at_least: int, at_most: int) -> st.SearchStrategy[list[Step]]:
    step = st.builds(Step, st.sampled_from(names), _numbers, _numbers, _numbers)
    return st.lists(step, min_size=at_least, max_size=at_most)


# Each night: the changes committed before its refresh, and those made before it but committed after it.
_committed = _steps(sorted(_CHANGES), at_least=2, at_most=20)
# A refresh would wait for this until it gives up: an uncommitted truncation locks its table.
_WAITED_FOR = {"truncate profits"}
_held = _steps(sorted(_CHANGES.keys() - _WAITED_FOR), at_least=0, at_most=3)
NIGHTS = st.lists(st.tuples(_committed, _held), min_size=1, max_size=3)


def begin(connection: Connection) -> None:
    """Three shops and their first orders."""
    for number, zone in enumerate(_ZONES[:3]):
        connection.execute(
            "insert into public.user_shops (id, shop_slug, timezone) values (%s, %s, %s)",
            [uuid5(_NAMESPACE, f"shop {number}"), f"shop-{number}", zone],
        )
    _insert_orders(connection, Step("insert orders", 0, 0, 0))


def apply(connection: Connection, step: Step) -> None:
    """Makes one change, in a transaction."""
    with connection.transaction():
        _CHANGES[step.what](connection, step)
