"""What the page about segments and about who is at risk says, in a shop that has both and in one that has neither."""

from xml.etree import ElementTree

from regulars.dashboard.pages import charts, segment_figures
from regulars.dashboard.segment_schemas import SegmentSize, ShopSegments, StateSize
from tests.rows import example


def test_the_largest_segments_and_who_moved_are_told_and_an_empty_one_is_not_drawn() -> None:
    sizes = [
        example(SegmentSize, segment="loyal", customers=40, moved_in=2), example(SegmentSize, customers=24, moved_in=1),
        example(SegmentSize, segment="lost", customers=0, moved_in=0, moved_out=3),
    ]  # fmt: skip
    figure = segment_figures.segments(example(ShopSegments), sizes)
    assert figure.answer == (
        "Of 64 customers, 40 are in “Loyal” and 24 are in “Best”. 3 customers moved to another segment since the "
        "month began."
    )
    assert [row["segment"] for row in figure.rows] == ["Loyal", "Best"]
    svg = ElementTree.fromstring(charts.draw(figure, theme="light", size="narrow", currency="GHS"))
    assert svg.get("height") == str(charts.height(figure))


def test_a_shop_without_segments_is_told_why() -> None:
    shop = example(ShopSegments, has_segments=False, reason="fewer than 50 customers: 12")
    assert segment_figures.segments(shop, []).rows == ()
    assert segment_figures.segments(shop, []).summary == "There are no segments yet: fewer than 50 customers: 12."


def test_who_is_at_risk_is_told_with_their_worth_and_nobody_is_not_unknown() -> None:
    def told(*states: StateSize) -> str:
        return segment_figures.at_risk(states, currency="GHS").replace("\u00a0", " ")

    assert told(example(StateSize)) == "17 customers are at risk; they were worth GHS 210.50 a month."
    assert told(example(StateSize, customers=1)).startswith("1 customer is at risk; ")
    assert told(example(StateSize, state="active")) == "Nobody is at risk."
    assert "can be said to be" in told(example(StateSize, state="unknown", net_per_month=None))
