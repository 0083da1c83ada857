"""The demo's sample data: the same for a seed, with everything in it that is hard about a storefront's data."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ingest.phone import read_phone
from regulars.demo.sample_data import SampleData, Shop, make_sample_data, spellings, unreadable, yesterday

pytestmark = pytest.mark.usefixtures("takes_long")


@pytest.fixture(scope="module")
def data() -> SampleData:
    return make_sample_data(seed=7)


def _final_statuses(shop: Shop) -> set[tuple[str, str]]:
    """The order_status and payment_status that the shop's orders end with."""
    return {order.history[-1][:2] for order in shop.orders}


def test_the_same_seed_makes_the_same_data_twice(data: SampleData) -> None:
    assert make_sample_data(seed=7) == data


def test_another_seed_makes_other_people(data: SampleData) -> None:
    other = make_sample_data(seed=8)
    assert [shop.name for shop in other.shops] == [shop.name for shop in data.shops]
    assert not {s.shop_id for s in other.shops} & {s.shop_id for s in data.shops}
    assert [len(shop.orders) for shop in other.shops] != [len(shop.orders) for shop in data.shops]


@pytest.mark.parametrize("seed", [1, 7, 2026])
def test_there_are_some_thousand_orders(seed: int) -> None:
    assert 2_500 <= sum(len(shop.orders) for shop in make_sample_data(seed=seed).shops) <= 5_000


def test_every_shop_has_orders_in_every_final_status(data: SampleData) -> None:
    for shop in data.shops:
        assert _final_statuses(shop) >= {
            ("completed", "completed"), ("processing", "completed"), ("refunded", "completed"),
            ("reversed", "completed"), ("failed", "completed"), ("cancelled", "completed"),
            ("cancelled", "failed"), ("pending", "pending"),
        }  # fmt: skip


def test_every_shop_has_unreadable_phones_retries_and_orders_that_checkout_missed(data: SampleData) -> None:
    for shop in data.shops:
        assert any(order.line is None for order in shop.orders)
        assert {order.calls for order in shop.orders} == {0, 1, 2}


def test_every_shop_rotates_a_link_and_no_two_links_share_a_slug(data: SampleData) -> None:
    slugs = [link.slug for shop in data.shops for link in shop.links]
    assert len(set(slugs)) == len(slugs)
    for shop in data.shops:
        assert shop.slug in {link.slug for link in shop.links}
        ends = {link.valid_to for link in shop.links if link.valid_to}
        assert ends & {link.valid_from for link in shop.links}


def test_every_visit_comes_by_a_link_that_holds_and_some_end_without_an_order(data: SampleData) -> None:
    for shop in data.shops:
        links = {link.slug: link for link in shop.links}
        for visit in shop.visits:
            link = links[visit.slug or ""]
            assert visit.accessed_at is not None
            assert link.valid_from <= visit.accessed_at
            assert link.valid_to is None or visit.accessed_at < link.valid_to
        completed = [order.checkout.visit_id for order in shop.orders if order.checkout.visit_id]
        assert len(set(completed)) == len(completed)
        assert set(completed) < {visit.visit_id for visit in shop.visits}


def test_some_visits_are_tagged_and_some_are_not(data: SampleData) -> None:
    for shop in data.shops:
        assert {None, "whatsapp", "instagram"} == {visit.utm_source for visit in shop.visits}


def test_ingest_reads_every_phone_as_the_number_that_was_meant(data: SampleData) -> None:
    for shop in data.shops:
        for order in shop.orders:
            assert read_phone(order.checkout.phone, country=shop.country).e164 == order.line


def test_all_spellings_of_a_persons_phone_are_one_number_and_no_other_persons(data: SampleData) -> None:
    for shop in data.shops:
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
def test_the_spellings_of_a_country_differ_and_are_all_read_as_the_same_number(country: str, number: str) -> None:
    known = spellings(country, number)
    assert len(set(known)) == len(known) >= 7
    assert len({read_phone(phone, country=country).e164 for phone in known}) == 1
    assert {read_phone(phone, country=country).e164 for phone in unreadable(number)} == {None}


def test_some_people_buy_in_both_shops_of_a_country(data: SampleData) -> None:
    accra, kumasi = (shop for shop in data.shops if shop.country == "GH")
    assert {order.line for order in accra.orders} & {order.line for order in kumasi.orders} - {None}


def test_most_buy_once_or_twice_and_a_few_come_all_year(data: SampleData) -> None:
    for shop in data.shops:
        counts: dict[object, int] = defaultdict(int)
        for order in shop.orders:
            counts[order.person_id] += 1
        assert sum(count <= 2 for count in counts.values()) > len(counts) / 2
        assert max(counts.values()) >= 15


def test_the_year_fills_each_local_day_from_the_first_to_the_given_last() -> None:
    for shop in make_sample_data(seed=7, until=date(2025, 3, 31)).shops:
        zone = ZoneInfo(shop.time_zone)
        days = {order.history[0][2].astimezone(zone).date() for order in shop.orders}
        assert date(2024, 4, 1) <= min(days) <= date(2024, 4, 15)
        assert date(2025, 3, 25) <= max(days) <= date(2025, 3, 31)


@pytest.mark.parametrize("hour", [0, 3, 12, 23])
def test_yesterday_is_over_in_every_shop_and_no_event_of_a_demo_is_in_the_future(hour: int) -> None:
    now = datetime(2026, 11, 25, hour, tzinfo=UTC)
    last = yesterday(now)
    shops = make_sample_data(seed=7, until=last).shops
    assert min(now.astimezone(ZoneInfo(shop.time_zone)).date() for shop in shops) == last + timedelta(days=1)
    for shop in shops:
        for row in (*shop.orders, *shop.profits):
            assert row.history[-1][-1] < now


def test_some_orders_fall_in_another_month_in_utc_than_in_the_shop(data: SampleData) -> None:
    moments = [
        (order.history[0][2], ZoneInfo(shop.time_zone))
        for shop in data.shops
        if shop.time_zone != "Africa/Accra"
        for order in shop.orders
    ]
    assert any(moment.month != moment.astimezone(zone).month for moment, zone in moments)


def test_every_history_goes_forward_in_time(data: SampleData) -> None:
    for shop in data.shops:
        for history in (row.history for row in (*shop.orders, *shop.profits, *shop.withdrawals)):
            moments = [step[-1] for step in history]
            assert moments == sorted(moments)


def test_there_are_profits_and_withdrawals_in_every_status(data: SampleData) -> None:
    for shop in data.shops:
        assert {profit.history[-1][0] for profit in shop.profits} == {"pending", "credited", "withdrawn"}
        assert {request.history[-1][0] for request in shop.withdrawals} == {
            "pending", "approved", "processing", "completed", "rejected",
        }  # fmt: skip
