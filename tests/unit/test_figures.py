"""What the pages write and draw in edge cases: nothing, one month, five years, sixty links, debts, a billion."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest

from regulars.dashboard.pages import charts, colours, drawings, figures, formatting, link_figures, retention_figures
from regulars.dashboard.pages.figures import Figure
from regulars.dashboard.pages.months import Coverage, recent_months
from regulars.dashboard.schemas import AcquisitionMonth, CohortMonth, LinkRow, RepeatRate, RevenueDay
from tests.rows import example

NOVEMBER, OCTOBER, SEPTEMBER = date(2026, 11, 1), date(2026, 10, 1), date(2026, 9, 1)
_SVG = "{http://www.w3.org/2000/svg}"


def _month(month: date, new: int) -> AcquisitionMonth:
    counts = {"new_customers": new, "returning_customers": 1, "active_customers": new + 1, "sales": 9}
    return AcquisitionMonth.model_validate({"month": month, "net_amount": "10.00", **counts})


def _months(number: int) -> list[date]:
    return [date(2022 + step // 12, step % 12 + 1, 1) for step in range(number)]


def _link(link: str, net: str) -> LinkRow:
    return example(LinkRow, link=link, last_touch_net_amount=net, first_touch_net_amount="2.00")


def _cohorts(months: list[date]) -> list[CohortMonth]:
    return [
        CohortMonth(
            cohort_month=month, months_since=since, cohort_size=7, active_customers=7 if since == 0 else since % 8,
            retention_rate=Decimal(1) if since == 0 else Decimal(since % 8) / 7, net_amount=Decimal(5),
        )
        for number, month in enumerate(months) for since in range(len(months) - number)
    ]  # fmt: skip


def _rates(months: list[date]) -> list[RepeatRate]:
    return [example(RepeatRate, month=month) for month in months]


def _days(*nets: str) -> list[RevenueDay]:
    first = date(2026, 8, 25)
    return [
        RevenueDay.model_validate(
            {"order_date": first + timedelta(days=number), "sales": 1, "net_amount": net, "refunded_amount": "0.00"}
        )
        for number, net in enumerate(nets)
    ]


def _drawn(figure: Figure, size: drawings.Size = "narrow", theme: colours.Theme = "dark") -> ElementTree.Element:
    svg = ElementTree.fromstring(charts.draw(figure, theme=theme, size=size, currency="GHS"))
    assert (svg.get("width"), svg.get("height")) == (str(charts.width(figure, size)), str(charts.height(figure)))
    assert not any(element.get("style") for element in svg.iter()), "a policy without unsafe-inline blocks styles"
    return svg


def _texts(svg: ElementTree.Element) -> list[str]:
    return ["".join(element.itertext()) for element in svg.iter(f"{_SVG}text")]


def _revenue(days: list[RevenueDay], **more: Any) -> figures.Figure:
    return figures.revenue(days, title="Last 10 days", today=NOVEMBER, currency="GHS", **more)


def test_the_sentence_of_the_days_is_of_the_period_and_the_days_before_are_pale() -> None:
    figure = _revenue(_days("5", "5", "7", "8"), earlier=2)
    assert [row["earlier"] for row in figure.rows] == [True, True, False, False]
    assert figure.answer.endswith("brought GHS\u00a015.00.")
    assert "The last 4 days" in _revenue(_days("5", "5", "7", "8"), is_cut=True).answer


@pytest.mark.parametrize(
    ("text", "limit", "written"),
    [("promo", 28, "promo"), ("a" * 15 + "b" * 15, 11, "aaaaa…bbbbb"), ("x" * 28, 28, "x" * 28)],
)
def test_a_long_link_loses_its_middle(text: str, limit: int, written: str) -> None:
    assert formatting.shortened(text, limit) == written
    assert len(written) <= limit


def test_a_part_of_a_month_is_never_compared_with_a_whole_one() -> None:
    months = [_month(SEPTEMBER, 20), _month(OCTOBER, 30), _month(NOVEMBER, 15)]
    recent = recent_months(months, current=NOVEMBER, as_of=datetime(2026, 11, 22, 2, 30, tzinfo=UTC), zone=UTC)
    assert (recent.this.coverage, recent.last.coverage, recent.before.coverage) == (
        Coverage.SO_FAR,
        Coverage.WHOLE,
        Coverage.WHOLE,
    )
    assert recent.change("new_customers") == Decimal("0.5")
    early = recent_months(months, current=NOVEMBER, as_of=datetime(2026, 10, 31, 23, 59, tzinfo=UTC), zone=UTC)
    assert (early.this.coverage, early.last.coverage) == (Coverage.NONE, Coverage.SO_FAR)
    assert early.this.figure("new_customers") is None
    assert early.change("new_customers") is None


def test_a_month_ends_when_it_ends_in_the_shops_zone() -> None:
    as_of = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    recent = recent_months([_month(OCTOBER, 3)], current=NOVEMBER, as_of=as_of, zone=timezone(timedelta(hours=1)))
    assert (recent.this.coverage, recent.last.coverage) == (Coverage.SO_FAR, Coverage.WHOLE)
    assert recent.this.figure("sales") == 0


def test_after_a_month_without_customers_there_is_no_change() -> None:
    recent = recent_months([_month(OCTOBER, 3)], current=NOVEMBER, as_of=datetime(2026, 11, 2, tzinfo=UTC), zone=UTC)
    assert recent.before.figure("new_customers") == 0
    assert recent.change("new_customers") is None


@pytest.mark.parametrize("number", [1, 2, 7, 8, 12, 13, 60, 240])
def test_month_labels_have_room_to_be_read(number: int) -> None:
    months = _months(number)
    for size, most in (("narrow", 6), ("wide", 13)):
        named = [
            text
            for text in _texts(_drawn(figures.acquisition([_month(m, 3) for m in months], unfinished=months[-1]), size))  # type: ignore[arg-type]
            if text[:3] in ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
        ]
        assert 1 <= len(named) <= most


def test_the_line_of_rates_breaks_where_a_month_had_no_customer() -> None:
    months = _months(6)
    svg = _drawn(retention_figures.repeat_rates(_rates([*months[:2], *months[3:]]), unfinished=months[-1]))
    lines = [e for e in svg.iter(f"{_SVG}path") if e.get("stroke-width") == "2" and e.get("fill") in (None, "none")]
    assert [(line.get("d") or "").count("M") for line in lines if len(line.get("d") or "") > 30] == [2, 2, 2]


def test_with_a_single_month_retention_is_unknown() -> None:
    assert retention_figures.cohorts(_cohorts(_months(1)), unfinished=NOVEMBER).rows == ()
    assert "From the next purchase on: " in retention_figures.cohorts(_cohorts(_months(1)), unfinished=NOVEMBER).summary


def test_five_years_of_cohorts_are_cut_to_the_latest_and_say_so() -> None:
    figure = retention_figures.cohorts(_cohorts(_months(60)), unfinished=NOVEMBER)
    assert len({row["cohort"] for row in figure.rows}) == retention_figures.MAX_BOXES
    assert max(row["cohort"] for row in figure.rows) == "2026-11-01"
    assert "latest 12 cohorts" in figure.note
    assert charts.height(figure) < 700
    _drawn(figure)


@pytest.mark.parametrize("size", ["wide", "narrow"])
@pytest.mark.parametrize("number", [5, 60])
def test_every_box_of_the_cohorts_has_its_number_and_the_colours_have_a_legend(
    number: int, size: drawings.Size
) -> None:
    figure = retention_figures.cohorts(_cohorts(_months(number)), unfinished=NOVEMBER)
    svg = _drawn(figure, size)
    boxes = [element for element in svg.iter(f"{_SVG}g") if "mark-text" in (element.get("class") or "")]
    written = [text for group in boxes for text in _texts(group)]
    assert [text for text in written if text in {f"{row['of_100']:.0f}" for row in figure.rows}]
    assert len(written) >= len(figure.rows), "a box has no number"
    assert "Of 100 customers, bought again" in _texts(svg)


def test_sixty_links_are_cut_to_the_largest_and_html_and_arabic_stay_text() -> None:
    names = ["<script>alert(1)</script>", "متجر أم أحمد", "x" * 300, *(f"link-{number}" for number in range(57))]
    figure = link_figures.links([_link(name, f"{1000 - n}") for n, name in enumerate(names)], currency="GHS")
    assert len(figure.rows) == 2 * link_figures.MAX_LINKS
    assert "of 60" in figure.note
    svg = _drawn(figure, "wide")
    assert not list(svg.iter(f"{_SVG}script"))
    texts = _texts(svg)
    assert {"<script>alert(1)</script>", "متجر أم أحمد"} <= set(texts)
    assert all(len(text) < 60 for text in texts), "a name as long as the page is cut"


def test_debts_reach_below_the_line_and_a_billion_is_not_written_as_giga() -> None:
    svg = _drawn(_revenue(_days("-500000000", *["1000000000"] * 9)), "wide")
    texts = _texts(svg)
    assert "1bn" in texts
    assert any(text.startswith(("-", "\u2212")) for text in texts)
    assert not any("G" in text and text != "GHS" for text in texts)


def test_without_a_sale_nothing_is_drawn_and_the_text_says_why() -> None:
    for figure in (
        figures.acquisition([], unfinished=NOVEMBER), retention_figures.repeat_rates([], unfinished=NOVEMBER),
        retention_figures.cohorts([], unfinished=NOVEMBER),
        link_figures.links([], currency="GHS"), _revenue([]),
    ):  # fmt: skip
        assert figure.rows == ()
        assert figure.summary.endswith(".")


def test_each_theme_size_and_currency_has_a_key_of_its_own_that_never_changes() -> None:
    figure = link_figures.links([_link("a", "1")], currency="GHS")
    keys = {
        charts.key(figure, theme=theme, size=size, currency=currency)
        for _ in range(2)
        for theme in ("light", "dark")
        for size in ("wide", "narrow")
        for currency in ("GHS", "NGN")
    }  # fmt: skip
    assert len(keys) == 8


def test_the_same_picture_is_drawn_once() -> None:
    first, again = (link_figures.links([_link("only here", "1")], currency="GHS") for _ in range(2))
    drawn = charts.draw(first, theme="light", size="wide", currency="GHS")
    assert charts.draw(again, theme="light", size="wide", currency="GHS") is drawn


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        ("1234.5", "GHS", "GHS 1,234.50"), ("-5", "GHS", "GHS −5.00"), ("1000000000", "NGN", "NGN 1,000,000,000.00"),
        ("1250", "XOF", "XOF 1,250"), ("1250.50", "XOF", "XOF 1,251"), ("1.2345", "KWD", "KWD 1.235"),
        ("0", "GHS", "GHS 0.00"), ("1e40", "GHS", f"GHS {10**40:,}.00"),
    ],
)  # fmt: skip
def test_an_amount_is_written_with_its_currencys_digits(amount: str, currency: str, written: str) -> None:
    assert formatting.money(Decimal(amount), currency) == written.replace(" ", "\u00a0", 1)


@pytest.mark.parametrize(("gigabytes", "written"), [("10", "10"), ("1.50", "1.5"), ("100.000", "100"), ("0.5", "0.5")])
def test_a_volume_has_no_trailing_zeros(gigabytes: str, written: str) -> None:
    assert formatting.volume(Decimal(gigabytes)) == written


def test_a_share_is_rounded_as_the_picture_rounds_it() -> None:
    assert formatting.percent(Decimal("0.125"), 0) == "13%"
    figure = retention_figures.cohorts(
        [row.model_copy(update={"retention_rate": Decimal("0.125")}) for row in _cohorts(_months(3))],
        unfinished=NOVEMBER,
    )
    assert "13" in _texts(_drawn(figure, "wide"))


def test_a_change_has_its_sign_unless_it_is_none() -> None:
    rates = ("0.082", "-0.5", "0.001", "-0.004", "12")
    assert [formatting.change(Decimal(rate)) for rate in rates] == ["+8%", "−50%", "0%", "0%", "+1,200%"]
