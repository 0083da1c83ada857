"""The sentences and pictures about who comes back and where from: in a young shop, after a pause, and cut to fit."""

from datetime import date, timedelta
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from regulars.dashboard.pages import charts, link_figures, retention_figures
from regulars.dashboard.pages.figures import Figure
from regulars.dashboard.schemas import (
    CampaignRow,
    CohortMonth,
    CohortWindow,
    LifetimeValueMonth,
    MovementMonth,
    NetworkMonth,
    NetworkSwitch,
    RepeatRate,
)
from tests.rows import example

DECEMBER, JANUARY, FEBRUARY, MARCH = date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)
_SVG = "{http://www.w3.org/2000/svg}"


def _moved(month: date, *, new: int = 0, retained: int = 0, reactivated: int = 0, lapsed: int = 0) -> MovementMonth:
    return MovementMonth(
        month=month, active_customers=new + retained + reactivated, new_customers=new, retained_customers=retained,
        reactivated_customers=reactivated, lapsed_customers=lapsed,
    )  # fmt: skip


def _window(cohort: date, days: int, matures_on: date, rate: str | None) -> CohortWindow:
    known = {"repurchase_rate": rate, "net_per_customer": None if rate is None else f"{days}.00"}
    return example(
        CohortWindow, cohort_month=cohort, window_days=days, matures_on=matures_on, is_mature=rate is not None, **known
    )


def _value(cohort: date, since: int, net: str | None) -> LifetimeValueMonth:
    matures_on = cohort + timedelta(days=31 * (since + 1))
    return example(
        LifetimeValueMonth, cohort_month=cohort, months_since=since, net_per_customer=net, matures_on=matures_on
    )


def _share(month: date, network: str, share: str, sales: int = 1) -> NetworkMonth:
    return example(NetworkMonth, month=month, network=network, share_of_sales=share, sales=sales)


def _drawn(figure: Figure, *, size: str = "narrow") -> ElementTree.Element:
    svg = ElementTree.fromstring(charts.draw(figure, theme="light", size=size, currency="GHS"))  # type: ignore[arg-type]
    assert (svg.get("width"), svg.get("height")) == (str(charts.width(figure, size)), str(charts.height(figure)))  # type: ignore[arg-type]
    assert not any(element.get("style") for element in svg.iter()), "a policy without unsafe-inline blocks styles"
    return svg


def _texts(svg: ElementTree.Element) -> list[str]:
    return ["".join(element.itertext()) for element in svg.iter(f"{_SVG}text")]


def test_movement_is_told_of_the_last_whole_month_and_the_lapsed_of_this_one_are_not_drawn() -> None:
    months = [
        _moved(JANUARY, new=9), _moved(FEBRUARY, new=4, retained=5, lapsed=4), _moved(MARCH, retained=1, lapsed=8),
    ]  # fmt: skip
    figure = retention_figures.movement(months, unfinished=MARCH)
    assert figure.answer == (
        "In February 2026, 9 customers bought: 4 new, 5 who had bought in January too, and 0 who came back after a "
        "pause. 4 of January's customers did not buy in February."
    )
    lapsed = {row["month"]: row["customers"] for row in figure.rows if row["kind"] == "Lapsed"}
    assert lapsed == {"2026-01-01": 0, "2026-02-01": -4, "2026-03-01": 0}
    assert {"Retained", "Reactivated", "New", "Lapsed"} <= set(_texts(_drawn(figure)))
    assert not any(text.startswith(("-", "\u2212")) for text in _texts(_drawn(figure)))


def test_in_its_first_month_a_shop_is_told_when_movement_begins() -> None:
    first = [_moved(FEBRUARY, new=3)]
    assert retention_figures.movement(first, unfinished=FEBRUARY).summary.startswith("From 1 Mar 2026 on: ")
    assert retention_figures.movement(first, unfinished=MARCH).summary.startswith("From the next purchase on: ")
    second = retention_figures.movement([*first, _moved(MARCH, retained=1)], unfinished=MARCH)
    assert second.answer.startswith("In March 2026 so far, 1 customer bought: 0 new, 1 who had bought in February too")
    assert "did not buy" not in second.answer


def test_a_long_history_of_movement_is_cut_to_the_latest_months_and_says_so() -> None:
    months = [_moved(date(2020 + step // 12, step % 12 + 1, 1), new=1) for step in range(60)]
    figure = retention_figures.movement(months, unfinished=date(2025, 1, 1))
    assert len({row["month"] for row in figure.rows}) == retention_figures.MAX_MONTHS
    assert figure.note == "The latest 24 months of 60."
    _drawn(figure)


def test_months_without_customers_have_no_rate_and_break_the_lines() -> None:
    rates = [
        example(RepeatRate, month=DECEMBER),
        example(RepeatRate, month=JANUARY),
        example(
            RepeatRate, month=FEBRUARY, customers=0, repeat_rate=None, in_month_repeat_rate=None, returning_share=None,
        ),
        example(RepeatRate, month=MARCH, repeat_rate=None, in_month_repeat_rate=None, returning_share=None),
    ]  # fmt: skip
    figure = retention_figures.repeat_rates(rates, unfinished=MARCH)
    returning = [row["rate"] for row in figure.rows if row["kind"] == "Returning"]
    assert returning == [0.6129, 0.6129, None, None]
    assert figure.answer == "95 of 180 customers have bought at least twice: 52.8%."
    assert "NaN" not in ElementTree.tostring(_drawn(figure), encoding="unicode")


def test_customers_without_a_phone_number_leave_every_rate_unknown() -> None:
    unknown = dict.fromkeys(("repeat_rate", "lifetime_repeat_rate", "in_month_repeat_rate", "returning_share"))
    figure = retention_figures.repeat_rates([example(RepeatRate, month=MARCH, **unknown)], unfinished=MARCH)
    assert figure.answer == "No customer is known by phone number yet."


def test_repurchase_is_told_by_the_longest_window_that_is_over() -> None:
    windows = [
        _window(JANUARY, 30, date(2026, 3, 2), "0.2"), _window(JANUARY, 60, date(2026, 4, 1), "0.35"),
        _window(JANUARY, 90, date(2026, 5, 1), None), _window(FEBRUARY, 30, date(2026, 3, 30), "0.1"),
        _window(FEBRUARY, 60, date(2026, 4, 29), None), _window(FEBRUARY, 90, date(2026, 5, 29), None),
        _window(DECEMBER, 180, date(2026, 5, 28), "0.9"),
    ]  # fmt: skip
    figure = retention_figures.repurchase(windows)
    assert figure.answer == ("Of the 20 customers who first bought in January 2026, 35.0% bought again within 60 days.")
    known = {(row["month"], row["kind"]): row["rate"] for row in figure.rows}
    assert known["2026-02-01", "30 days"] == 0.1
    assert known["2026-02-01", "60 days"] is None
    assert {"30 days", "60 days", "90 days"} <= set(_texts(_drawn(figure)))


def test_a_young_shop_is_told_from_when_on_repurchase_and_values_are_known() -> None:
    windows = [
        _window(FEBRUARY, 60, date(2026, 4, 1), None), _window(FEBRUARY, 30, date(2026, 3, 2), None),
    ]  # fmt: skip
    figure = retention_figures.repurchase(windows)
    assert figure.rows == ()
    assert figure.summary == "From 2 Mar 2026 on: 30 days after the last of February's new customers."
    cohort = [example(CohortMonth, cohort_month=FEBRUARY, months_since=0)]
    assert retention_figures.cohorts(cohort, unfinished=FEBRUARY).summary == (
        "From 1 Mar 2026 on: those of February 2026 are the first who can return."
    )
    values = retention_figures.lifetime_values([_value(JANUARY, 0, None)], windows, currency="GHS")
    assert values.rows == ()
    assert values.summary == "From 1 Feb 2026 on: January 2026 is over then."


def test_a_month_without_new_customers_is_a_gap_between_cohorts() -> None:
    windows = [_window(month, 30, MARCH, "0.2") for month in (DECEMBER, FEBRUARY)]
    figure = retention_figures.repurchase(windows)
    assert [row["month"] for row in figure.rows if row["kind"] == "30 days"] == [
        "2025-12-01", "2026-01-01", "2026-02-01",
    ]  # fmt: skip
    _drawn(figure)


def test_only_months_that_are_over_are_on_the_curves_and_customers_of_the_same_age_are_compared() -> None:
    values = [_value(DECEMBER, 0, "10.00"), _value(DECEMBER, 1, "12.00"), _value(JANUARY, 0, "9.00")]
    values += [_value(JANUARY, 1, None)]
    windows = [
        _window(DECEMBER, 30, MARCH, "0.5"), _window(DECEMBER, 365, MARCH, None), _window(JANUARY, 30, MARCH, "0.5"),
    ]  # fmt: skip
    figure = retention_figures.lifetime_values(values, windows, currency="GHS")
    assert [(row["label"], row["since"], row["value"]) for row in figure.rows] == [
        ("Dec 2025", 0, 10.0), ("Dec 2025", 1, 12.0), ("Jan 2026", 0, 9.0),
    ]  # fmt: skip
    assert figure.answer.replace("\u00a0", " ") == (
        "The customers of January 2026 had each spent GHS 30.00 on average 30 days after their first purchase; those "
        "of December 2025, GHS 30.00."
    )
    assert {"Dec 2025", "Jan 2026"} <= set(_texts(_drawn(figure)))
    younger = retention_figures.lifetime_values(values, [], currency="GHS").answer.replace("\u00a0", " ")
    assert younger == "The customers of January 2026 had each spent GHS 9.00 on average by the end of that month."


@pytest.mark.parametrize("number", [1, 12, 40])
def test_curves_are_cut_to_the_latest_cohorts(number: int) -> None:
    cohorts = [date(2022 + step // 12, step % 12 + 1, 1) for step in range(number)]
    values = [_value(month, since, f"{since}") for month in cohorts for since in range(3)]
    figure = retention_figures.lifetime_values(values, [], currency="GHS")
    assert len({row["cohort"] for row in figure.rows}) == min(number, retention_figures.MAX_CURVES)
    assert bool(figure.note) == (number > retention_figures.MAX_CURVES)
    assert charts.height(figure) < 400
    _drawn(figure)


def test_small_networks_are_drawn_together_and_the_shares_add_up() -> None:
    names = [f"network {number}" for number in range(8)]
    months = [
        _share(month, name, "0.125", sales=9 - place) for month in (JANUARY, MARCH) for place, name in enumerate(names)
    ]
    figure = link_figures.networks(months, [], unfinished=MARCH)
    assert list(dict.fromkeys(row["network"] for row in figure.rows)) == [*names[:5], link_figures.OTHERS]
    by_month: dict[str, float] = {}
    for row in figure.rows:
        by_month[row["month"]] = by_month.get(row["month"], 0) + row["share"]
    assert by_month == {"2026-01-01": 1.0, "2026-02-01": 0.0, "2026-03-01": 1.0}
    assert link_figures.OTHERS in _texts(_drawn(figure, size="wide"))


def test_switches_of_the_month_are_told_in_a_sentence() -> None:
    months = [_share(FEBRUARY, "MTN", "0.6"), _share(FEBRUARY, "Telecel", "0.4")]

    def told(*switches: tuple[date, str, str, int]) -> str:
        rows = [
            NetworkSwitch(month=month, from_network=before, to_network=after, switches=times)
            for month, before, after, times in switches
        ]
        return link_figures.networks(months, rows, unfinished=MARCH).answer

    shares = "Of the sales of February 2026: MTN 60%, Telecel 40%."
    assert told() == f"{shares} No customer's main network has changed."
    earlier = (JANUARY, "MTN", "Telecel", 4)
    assert told(earlier) == f"{shares} No customer's main network has changed in that month."
    once = (FEBRUARY, "MTN", "Telecel", 1)
    assert told(earlier, once) == f"{shares} Customers' main network changed once, from MTN to Telecel."
    more = (FEBRUARY, "Telecel", "MTN", 2)
    assert told(once, more) == (
        f"{shares} Customers' main network changed 3 times, most often from Telecel to MTN (2)."
    )


def test_hostile_names_of_networks_stay_text() -> None:
    name = "<script>alert(1)</script>\"'"
    svg = _drawn(link_figures.networks([_share(MARCH, name, "1")], [], unfinished=MARCH), size="wide")
    assert not list(svg.iter(f"{_SVG}script"))
    assert any(text.startswith("<script>") for text in _texts(svg))


def test_a_shop_whose_visits_name_no_campaign_is_told_how_to_name_one() -> None:
    nameless = example(CampaignRow, utm_source="unknown", utm_medium="unknown", utm_campaign="unknown")
    assert "utm_source" in link_figures.campaigns([nameless], currency="GHS")
    named = example(CampaignRow, utm_source="whatsapp", utm_medium="unknown", last_touch_net_amount=Decimal(1))
    answer = link_figures.campaigns([nameless, named], currency="GHS").replace("\u00a0", " ")
    assert answer == "whatsapp brought the most: 23 sales from 130 visits, GHS 1.00."
