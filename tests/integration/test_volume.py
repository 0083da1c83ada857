"""The story of the lost orders, day by day: who stops telling what, and which check finds it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid4

import pytest

from flows import steps
from flows.history import Refresh
from flows.steps import Run, Step, run_refresh
from ingest.bulk.matching import Matched
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.storefront import add_shop, fetch

# A Monday. The history before it is nine weeks and a day.
_MONDAY = date(2026, 3, 2)

# Orders a day. Kofi is closed on Sundays; the others are too small to be judged alone.
_ORDERS = {"ama-data": 40, "kofi-data": 30} | {f"small-{number}": 4 for number in range(6)}


@dataclass(frozen=True, slots=True)
class Storefront:
    """The storefront's days, and the refresh of the night after each."""

    database: Database
    connection: Connection
    shops: dict[str, UUID]

    def sell(self, day: date, *, is_tracked: bool = True) -> None:
        """The day's orders, as the storefront writes them, and as checkout tells which link brought them."""
        rows = [
            (uuid4(), shop_id, f"024{number:07}", datetime.combine(day, time(8), UTC) + timedelta(minutes=number))
            for place, (slug, shop_id) in enumerate(self.shops.items())
            if not (slug == "kofi-data" and day.weekday() == 6)
            # Now more, now fewer.
            for number in range(_ORDERS[slug] + (day.toordinal() + place) % 3)
        ]
        with self.connection.cursor().copy(
            "copy shop_orders (id, shop_id, customer_phone, total_price, order_status, payment_status, created_at) "
            "from stdin"
        ) as copy:
            for order_id, shop_id, phone, at in rows:
                copy.write_row((order_id, shop_id, phone, 10, "completed", "completed", at))
        if is_tracked:
            columns = "shop_id, shop_order_id, accessed_via_slug, accessed_at"
            with self.connection.cursor().copy(f"copy regulars.tracking ({columns}) from stdin") as copy:
                for order_id, shop_id, _, at in rows:
                    copy.write_row((shop_id, order_id, "whatsapp", at))

    def refresh_after(self, day: date) -> list[str]:
        """The warnings of the refresh at 02:30 of the next day."""
        return refresh_at(self.database, datetime.combine(day, time(2, 30), UTC) + timedelta(days=1)).warnings


def refresh_at(database: Database, as_of: datetime) -> Refresh:
    """A refresh that finds another time on the clock once it has its batch."""

    def perform(step: Step, run: Run) -> object:
        if step is steps.judge_volume:
            run.connection.execute(
                "update regulars.refreshes set as_of = %s where refresh_id = %s", [as_of, run.refresh.refresh_id]
            )
        return step(run)

    return run_refresh(database.settings, perform=perform)


@pytest.fixture
def storefront(built: Database) -> Iterator[Storefront]:
    with built.connect() as connection:
        yield Storefront(built, connection, {slug: add_shop(connection, slug) for slug in _ORDERS})


def _gates(warnings: list[str]) -> set[str]:
    """Which checks warned."""
    return {
        "every sale has a customer" if "assert_every_sale_has_a_customer" in warning
        else warning.partition(" than ")[0].rpartition("far ")[2]
        for warning in warnings
    }  # fmt: skip


def _unusual(connection: Connection) -> list[tuple[object, ...]]:
    """What is unusual of the last day that was judged."""
    return fetch(
        connection,
        "select measure, coalesce(shop_slug, subject) from regulars.unusual_days "
        "left join user_shops on subject = user_shops.id::text where is_current order by 1, 2",
    )


def _everywhere(measure: str) -> list[tuple[object, ...]]:
    return [(measure, subject) for subject in ("ama-data", "kofi-data", "platform", "small shops")]


def test_each_stage_of_the_story_of_the_lost_orders_is_found_the_night_after(
    storefront: Storefront, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = storefront.connection
    for back in range(9 * 7 + 1, 0, -1):
        storefront.sell(_MONDAY - timedelta(back))
    # All is well, on a Sunday, when Kofi is closed, and on a Monday.
    assert storefront.refresh_after(_MONDAY - timedelta(1)) == []
    storefront.sell(_MONDAY)
    assert storefront.refresh_after(_MONDAY) == []
    assert _unusual(connection) == []

    # 1. Checkout stops telling; the storefront goes on writing orders, and each still gets its customer.
    for day in (1, 2):
        storefront.sell(_MONDAY + timedelta(day), is_tracked=False)
        warnings = storefront.refresh_after(_MONDAY + timedelta(day))
        assert _gates(warnings) == {"fewer orders with a known link"}
        assert _unusual(connection) == _everywhere("tracked_orders")
    assert "Wednesday, 2026-03-04: far fewer orders with a known link" in warnings[0]
    assert "ama-data 0 where 41 were expected" in warnings[0]
    assert "checkout" in warnings[0]

    # 2. Matching stops as well. A fault that is injected: it matches nothing. Each order waits for it once.
    with monkeypatch.context() as patched:
        patched.setattr(steps, "match_orders", lambda *_, **__: Matched())
        for day, others in ((3, set()), (4, {"every sale has a customer"})):
            storefront.sell(_MONDAY + timedelta(day), is_tracked=False)
            found = _gates(storefront.refresh_after(_MONDAY + timedelta(day)))
            assert found - others == {"fewer orders"}
            assert found >= others
            assert _unusual(connection) == _everywhere("orders")

    # 3. The storefront stops writing. Matching makes up for what it left, but there is nothing new.
    assert _gates(storefront.refresh_after(_MONDAY + timedelta(5))) == {"fewer orders"}
    assert _unusual(connection) == _everywhere("orders")

    # All is well again.
    storefront.sell(_MONDAY + timedelta(6))
    assert storefront.refresh_after(_MONDAY + timedelta(6)) == []
    assert _unusual(connection) == []


def test_a_warning_keeps_nothing_from_being_published(storefront: Storefront) -> None:
    for back in range(5 * 7, 0, -1):
        storefront.sell(_MONDAY - timedelta(back))
    assert _gates(storefront.refresh_after(_MONDAY)) == {"fewer orders"}
    (last_day,) = fetch(storefront.connection, "select max(order_date) from analytics.shop_days")
    assert last_day == (_MONDAY - timedelta(1),)


def _just_before(moment: datetime) -> datetime:
    return moment - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("zone", "ends_at"),
    [
        ("America/New_York", datetime(2026, 3, 9, 4, tzinfo=UTC)),  # the clocks went forward on the 8th
        ("Pacific/Apia", datetime(2026, 3, 8, 11, tzinfo=UTC)),
        ("Africa/Accra", datetime(2026, 3, 9, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize(("shift", "found"), [(_just_before, []), (lambda moment: moment, ["orders"])])
def test_a_day_is_judged_once_it_is_over_in_the_shops_zone(
    built: Database, zone: str, ends_at: datetime, shift: Callable[[datetime], datetime], found: list[str]
) -> None:
    """Sunday, 8 March: the shop sold 40 on each day before, and nothing on this one."""
    with built.connect() as connection:
        shop = add_shop(connection, timezone=zone)
        connection.execute(
            """
            insert into shop_orders (shop_id, customer_phone, total_price, order_status, payment_status, created_at)
            select %(shop)s, '0241234567', 10, 'completed', 'completed', day at time zone %(zone)s
            from generate_series(timestamp '2026-01-20 12:00', timestamp '2026-03-07 12:00', interval '1 day') as day
            cross join generate_series(1, 40)
            """,
            {"shop": shop, "zone": zone},
        )
        refresh_at(built, shift(ends_at))
        assert [measure for (measure,) in fetch(connection, "select measure from regulars.unusual_days")] == found
