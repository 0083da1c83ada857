"""The demo's world: the same for a seed, and with everything in it that makes a storefront's life hard."""

from collections import defaultdict
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from ingest.phone import read_phone
from regulars.demo.sample_data import Shop, World, make_world, spellings, unreadable


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(seed=7)


def _fates(shop: Shop) -> set[tuple[str, str]]:
    """Each order_status and payment_status that an order of the shop ends in."""
    return {order.history[-1][:2] for order in shop.orders}


def test_the_same_seed_makes_the_same_world_twice(world: World) -> None:
    assert make_world(seed=7) == world


def test_another_seed_makes_other_people(world: World) -> None:
    other = make_world(seed=8)
    assert [shop.name for shop in other.shops] == [shop.name for shop in world.shops]
    assert not {s.shop_id for s in other.shops} & {s.shop_id for s in world.shops}
    assert [len(shop.orders) for shop in other.shops] != [len(shop.orders) for shop in world.shops]


@pytest.mark.parametrize("seed", [1, 7, 2026])
def test_a_world_has_some_thousand_orders(seed: int) -> None:
    assert 2_500 <= sum(len(shop.orders) for shop in make_world(seed=seed).shops) <= 5_000


def test_every_shop_has_orders_of_every_fate(world: World) -> None:
    for shop in world.shops:
        assert _fates(shop) >= {
            ("completed", "completed"), ("processing", "completed"), ("refunded", "completed"),
            ("reversed", "completed"), ("failed", "completed"), ("cancelled", "completed"),
            ("cancelled", "failed"), ("pending", "pending"),
        }  # fmt: skip


def test_every_shop_has_unreadable_phones_retries_and_orders_that_checkout_missed(world: World) -> None:
    for shop in world.shops:
        assert any(order.line is None for order in shop.orders)
        assert {order.calls for order in shop.orders} == {0, 1, 2}


def test_every_shop_rotates_a_link_and_no_two_links_share_a_slug(world: World) -> None:
    slugs = [link.slug for shop in world.shops for link in shop.links]
    assert len(set(slugs)) == len(slugs)
    for shop in world.shops:
        assert shop.slug in {link.slug for link in shop.links}
        ends = {link.valid_to for link in shop.links if link.valid_to}
        assert ends & {link.valid_from for link in shop.links}


def test_every_visit_comes_by_a_link_that_holds_and_some_end_without_an_order(world: World) -> None:
    for shop in world.shops:
        links = {link.slug: link for link in shop.links}
        for visit in shop.visits:
            link = links[visit.slug or ""]
            assert visit.accessed_at is not None
            assert link.valid_from <= visit.accessed_at
            assert link.valid_to is None or visit.accessed_at < link.valid_to
        completed = [order.checkout.visit_id for order in shop.orders if order.checkout.visit_id]
        assert len(set(completed)) == len(completed)
        assert set(completed) < {visit.visit_id for visit in shop.visits}


def test_some_visits_are_tagged_and_some_are_not(world: World) -> None:
    for shop in world.shops:
        assert {None, "whatsapp", "instagram"} == {visit.utm_source for visit in shop.visits}


def test_every_phone_is_read_as_the_line_that_was_meant(world: World) -> None:
    for shop in world.shops:
        for order in shop.orders:
            assert read_phone(order.checkout.phone, country=shop.country).e164 == order.line


def test_all_spellings_of_a_persons_phone_meet_in_one_number_that_is_nobody_elses(world: World) -> None:
    for shop in world.shops:
        phones, lines = defaultdict(set), defaultdict(set)
        for order in shop.orders:
            phones[order.person_id].add(order.checkout.phone)
            if order.line is not None:
                lines[order.person_id].add(order.line)
        assert max(map(len, phones.values())) >= 5
        assert {len(own) for own in lines.values()} == {1}
        assert len({line for own in lines.values() for line in own}) == len(lines)


@pytest.mark.parametrize(
    ("country", "number"),
    [("GH", "241234567"), ("NG", "8031234567"), ("US", "9175550123")],
    ids=["GH", "NG", "US"],
)
def test_every_spelling_of_a_country_is_another_one_and_all_are_read_the_same(country: str, number: str) -> None:
    known = spellings(country, number)
    assert len(set(known)) == len(known) >= 7
    assert len({read_phone(phone, country=country).e164 for phone in known}) == 1
    assert {read_phone(phone, country=country).e164 for phone in unreadable(number)} == {None}


def test_somebody_buys_in_both_shops_of_a_country(world: World) -> None:
    accra, kumasi = (shop for shop in world.shops if shop.country == "GH")
    assert {order.line for order in accra.orders} & {order.line for order in kumasi.orders} - {None}


def test_most_buy_once_or_twice_and_a_few_come_all_year(world: World) -> None:
    for shop in world.shops:
        counts: dict[object, int] = defaultdict(int)
        for order in shop.orders:
            counts[order.person_id] += 1
        assert sum(count <= 2 for count in counts.values()) > len(counts) / 2
        assert max(counts.values()) >= 15


def test_the_year_fills_each_local_day_from_the_first_to_the_given_last() -> None:
    for shop in make_world(seed=7, until=date(2025, 3, 31)).shops:
        zone = ZoneInfo(shop.time_zone)
        days = {order.history[0][2].astimezone(zone).date() for order in shop.orders}
        assert date(2024, 4, 1) <= min(days) <= date(2024, 4, 15)
        assert date(2025, 3, 25) <= max(days) <= date(2025, 3, 31)


def test_some_orders_fall_in_another_month_in_utc_than_in_the_shop(world: World) -> None:
    moments = [
        (order.history[0][2], ZoneInfo(shop.time_zone))
        for shop in world.shops
        if shop.time_zone != "Africa/Accra"
        for order in shop.orders
    ]
    assert any(moment.month != moment.astimezone(zone).month for moment, zone in moments)


def test_every_history_goes_forward_in_time(world: World) -> None:
    for shop in world.shops:
        for history in (thing.history for thing in (*shop.orders, *shop.profits, *shop.withdrawals)):
            moments = [step[-1] for step in history]
            assert moments == sorted(moments)


def test_profits_and_withdrawals_stand_in_every_status(world: World) -> None:
    for shop in world.shops:
        assert {profit.history[-1][0] for profit in shop.profits} == {"pending", "credited", "withdrawn"}
        assert {request.history[-1][0] for request in shop.withdrawals} == {
            "pending", "approved", "processing", "completed", "rejected",
        }  # fmt: skip
