"""The volume gate's judgement, without a database: which days are far from the same weekday's before."""

from collections.abc import Callable
from datetime import date, timedelta
from statistics import median

import pytest

from flows.volume.judging import Known, Shop, days_to_judge, is_far_above, is_far_below, judge, modified_z_score
from flows.volume.measures import PLATFORM, SMALL_SHOPS, Unusual, describe

_MONDAY = date(2026, 3, 2)


def _shop(
    name: str,
    orders: Callable[[int], int],
    *,
    last: int,
    tracked: Callable[[int], int] | None = None,
    unmatched: Callable[[int], int] = lambda _: 0,
    opened: date = _MONDAY - timedelta(weeks=9),
    last_day: date = _MONDAY,
) -> Shop:
    """A shop whose day `n` days back has `orders(n)`, and `last` on its last day."""

    def counts(back: int) -> dict[str, int]:
        count = last if back == 0 else orders(back)
        return {
            "orders": count,
            "sales": count,
            "tracked_orders": count if tracked is None else tracked(back),
            "unmatched_orders": unmatched(back),
        }

    days = {last_day - timedelta(back): counts(back) for back in range((last_day - opened).days + 1)}
    return Shop(key=name, slug=name, last_day=last_day, days=days)


def _found(*shops: Shop, days: int = 1, known: Known = ()) -> list[tuple[str, str]]:
    return [(one.measure.column, one.subject) for one in _judged(*shops, days=days, known=known)]


def _judged(*shops: Shop, days: int = 1, known: Known = ()) -> list[Unusual]:
    return judge(shops, days_to_judge(shops, days=days), known)


def test_the_score_is_that_of_the_book() -> None:
    """0.6745 (x - median) / MAD: here the median is 40, and the absolute deviations' is 10."""
    past = [20, 30, 30, 40, 40, 50, 50, 60]
    assert median(past) == 40
    assert modified_z_score(0, past) == pytest.approx(0.6745 * -40 / 10)


def test_no_past_is_more_even_than_chance() -> None:
    """Eight equal weeks have a MAD of 0; a Poisson variable's is 0.6745 times its deviation."""
    assert modified_z_score(30, [36] * 8) == pytest.approx((30 - 36) / 6)


@pytest.mark.parametrize(
    ("found", "past", "is_low"),
    [
        (0, [40] * 8, True),
        (17, [40] * 8, True),
        (18, [40] * 8, False),
        (0, [12] * 8, False),
        (0, [13] * 8, True),
        (600, [1000] * 8, True),
        (601, [1000] * 8, False),
        (0, [10, 70, 5, 90, 40, 15, 80, 40], False),
        (0, [0] * 8, False),
    ],
)
def test_low_is_far_below_and_at_most_60_percent(found: int, past: list[float], is_low: bool) -> None:
    assert is_far_below(found, past) is is_low


@pytest.mark.parametrize(
    ("found", "past", "is_high"),
    [(9, [0] * 8, False), (10, [0] * 8, True), (19, [10] * 8, False), (22, [10] * 8, True), (190, [100] * 8, False)],
)
def test_high_is_far_above_and_at_least_twice(found: int, past: list[float], is_high: bool) -> None:
    assert is_far_above(found, past) is is_high


def test_a_shop_that_sells_as_always_is_not_found() -> None:
    assert _found(_shop("ama", lambda n: 38 + n % 5, last=33), _shop("kofi", lambda _: 3, last=1)) == []


def test_a_large_shop_is_found_alone() -> None:
    shops = [_shop("ama", lambda _: 40, last=0), *(_shop(name, lambda _: 60, last=60) for name in ("kofi", "esi"))]
    (one,) = _judged(*shops)
    assert (one.measure.column, one.subject, one.day, one.shops) == ("orders", "ama", _MONDAY, ("ama",))
    assert (one.found, one.expected) == (0, 40)


def test_small_shops_are_found_together_and_named() -> None:
    small = [_shop(f"small-{n}", lambda _: 3, last=0 if n else 3) for n in range(10)]
    (one,) = _judged(*small, _shop("ama", lambda _: 90, last=90))
    assert (one.subject, one.found, one.expected) == (SMALL_SHOPS, 3, 30)
    assert set(one.shops) <= {f"small-{n}" for n in range(1, 10)}
    assert len(one.shops) == 5
    (sentence,) = describe([one])
    assert sentence.startswith("Monday, 2026-03-02: far fewer orders than in previous weeks: the small shops")


def test_the_platform_is_found_where_no_shop_is() -> None:
    """Two that sell in turns, each too erratic to be judged alone."""
    shops = [_shop(f"shop-{n}", lambda back, n=n: 10 + 90 * ((back + n) % 2), last=0) for n in range(2)]  # type: ignore[misc]
    assert {subject for _, subject in _found(*shops)} == {PLATFORM, SMALL_SHOPS}


def test_a_shop_that_is_closed_on_sundays_is_not_found_on_a_sunday_and_is_on_a_monday() -> None:
    sunday = _MONDAY - timedelta(1)

    def shop(last_day: date) -> Shop:
        def orders(back: int) -> int:
            return 0 if (last_day - timedelta(back)).weekday() == 6 else 40

        return _shop("ama", orders, last=0, last_day=last_day, opened=_MONDAY - timedelta(weeks=9))

    assert _found(shop(sunday)) == []
    assert _found(shop(_MONDAY)) == [("orders", "ama")]


def test_lost_tracking_is_found_while_orders_go_on() -> None:
    assert _found(_shop("ama", lambda _: 40, last=40, tracked=lambda back: 35 if back else 0)) == [
        ("tracked_orders", "ama")
    ]


def test_missing_orders_explain_what_is_missing_with_them() -> None:
    assert _found(_shop("ama", lambda _: 40, last=0)) == [("orders", "ama")]


def test_unmatched_orders_are_compared_by_their_share() -> None:
    def shop(last: int, unmatched: int) -> Shop:
        return _shop("ama", lambda _: 40, last=last, unmatched=lambda back: 2 if back else unmatched)

    assert _found(shop(40, 12)) == [("unmatched_orders", "ama")]
    # Ten times the orders, ten times those without a customer.
    assert _found(shop(400, 20)) == []


def test_four_months_of_loss_do_not_become_usual() -> None:
    """17 weeks without a link: every day of them is found, because a day that was found is no measure for others."""
    start = _MONDAY - timedelta(weeks=17)
    known: set[tuple[str, str, date]] = set()
    for day in (start + timedelta(n) for n in range(7 * 17)):
        shop = _shop(
            "ama",
            lambda _: 40,
            last=40,
            tracked=lambda back, day=day: 35 if day - timedelta(back) < start else 0,  # type: ignore[misc]
            opened=start - timedelta(weeks=9),
            last_day=day,
        )
        found = _judged(shop, known=known)
        assert [one.measure.column for one in found] == ["tracked_orders"], day
        known |= {(one.measure.column, one.subject, one.day) for one in found}


def test_a_new_shop_is_judged_after_four_weeks() -> None:
    for weeks, found in ((3, []), (4, [("orders", "ama")])):
        assert _found(_shop("ama", lambda _: 40, last=0, opened=_MONDAY - timedelta(weeks=weeks))) == found


def test_after_nights_without_a_refresh_each_day_is_judged() -> None:
    shop = _shop("ama", lambda back: 0 if back == 2 else 40, last=40)
    assert [one.day for one in _judged(shop, days=3)] == [_MONDAY - timedelta(2)]
    assert _judged(shop, days=2) == []


def test_the_platforms_day_is_over_when_it_is_over_in_every_shop() -> None:
    """In Apia it is Tuesday already: its Monday is judged, the platform's day is the Sunday before."""
    shops = [_shop(f"ama-{n}", lambda _: 40, last=40, last_day=_MONDAY - timedelta(1)) for n in range(3)]
    apia = [_shop(f"apia-{n}", lambda _: 40, last=0) for n in range(2)]
    days = days_to_judge([*shops, *apia], days=1)
    assert days[PLATFORM] == [_MONDAY - timedelta(1)]
    assert days["apia-0"] == [_MONDAY - timedelta(1), _MONDAY]
    assert _found(*shops, *apia) == [("orders", "apia-0"), ("orders", "apia-1")]


def test_a_sentence_names_ten_and_counts_the_others() -> None:
    shops = [_shop(f"shop-{n:02}", lambda _: 40, last=0) for n in range(14)]
    (sentence,) = describe(_judged(*shops))
    assert "all shops together 0 where 560 were expected" in sentence
    assert sentence.count("0 where 40 were expected") == 9
    assert "; and 5 more. See whether the storefront is up" in sentence
