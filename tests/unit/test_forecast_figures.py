"""What the page about the forecast says: of the future, of the last prediction, and where there is none."""

from datetime import date
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from regulars.dashboard.pages import charts, forecast_figures
from regulars.dashboard.pages.figures import Figure
from regulars.dashboard.schemas import ForecastError, ForecastFit, ForecastHorizon
from tests.rows import example

_SVG = "{http://www.w3.org/2000/svg}"
_UNKNOWN = dict.fromkeys(
    ("fit_id", "expected_purchases", "actual_purchases", "purchases_error", "expected_net_amount", "actual_net_amount")
)


def _forecast(*errors: ForecastError, amount: str | None = "940.20") -> Figure:
    horizons = [
        example(ForecastHorizon, horizon_days=days, expected_net_amount=amount, expected_purchases=days * 2)
        for days in (30, 90)
    ]
    return forecast_figures.forecast([example(ForecastFit)], horizons, errors, currency="GHS")


def test_what_is_expected_is_told_with_the_error_of_the_last_prediction() -> None:
    answer = _forecast(example(ForecastError)).answer.replace("\u00a0", " ")
    assert answer == (
        "In the 30 days from 8 Mar 2026 on, about 60 purchases are expected of the 180 customers so far, worth "
        "GHS 940.20. The last such prediction expected 58, and 55 came: 5.6% too many."
    )
    assert ", worth" not in _forecast(example(ForecastError), amount=None).answer


@pytest.mark.parametrize(
    ("error", "told"),
    [("-12.5", "12.5% too few."), ("0.0", ": exact."), (None, "and 55 came.")],
)
def test_an_error_says_which_way_it_went(error: str | None, told: str) -> None:
    assert _forecast(example(ForecastError, purchases_error=error)).answer.endswith(told)


def test_until_a_prediction_has_matured_the_day_is_told_on_which_one_does() -> None:
    unknown = example(ForecastError, **_UNKNOWN, next_matures_on=date(2026, 4, 7))
    figure = _forecast(unknown)
    assert figure.answer.endswith("From 7 Apr 2026 on, the first such prediction can be compared with what came.")
    assert {row["kind"] for row in figure.rows} == {"Expected next"}


def test_what_came_is_drawn_beside_what_was_expected() -> None:
    figure = _forecast(example(ForecastError, horizon_days=90))
    bars = {(row["horizon"], row["kind"]): row["purchases"] for row in figure.rows}
    assert bars == {
        ("30 days", "Expected next"): 60.0, ("90 days", "Expected next"): 180.0,
        ("90 days", "Expected last time"): 58.1, ("90 days", "Came"): 55.0,
    }  # fmt: skip
    svg = ElementTree.fromstring(charts.draw(figure, theme="dark", size="narrow", currency="GHS"))
    texts = {"".join(element.itertext()) for element in svg.iter(f"{_SVG}text")}
    assert {"30 days", "90 days", "Expected next", "Came"} <= texts


def test_without_a_fit_the_reason_is_told() -> None:
    failed = example(
        ForecastFit, converged=False, reason="12 customers have bought on two days or more; 100 are needed"
    )
    figure = forecast_figures.forecast([failed], [], [], currency="GHS")
    assert figure.rows == ()
    assert figure.summary == f"Not predicted yet: {failed.reason}."
    assert "once a week" in forecast_figures.forecast([], [], [], currency="GHS").summary


def test_numbers_are_rounded_to_whole_purchases() -> None:
    assert "expected 58," in _forecast(example(ForecastError, expected_purchases=Decimal("58.4"))).answer
