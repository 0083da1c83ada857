"""The figure of the page about what is expected, beside what came of the last prediction."""

from collections.abc import Sequence
from decimal import Decimal

from regulars.dashboard.pages.figures import Figure
from regulars.dashboard.pages.formatting import day, money, number
from regulars.dashboard.schemas import ForecastError, ForecastFit, ForecastHorizon


def forecast(
    fits: Sequence[ForecastFit],
    horizons: Sequence[ForecastHorizon],
    errors: Sequence[ForecastError],
    *,
    currency: str,
) -> Figure:
    """`fits`: the attempts, the latest first. Expected are the fit in use's purchases, of the customers so far."""
    if not horizons:
        return Figure("forecast", (), _why_not(fits))
    rows = tuple(
        {"horizon": f"{row.horizon_days} days", "kind": kind, "purchases": float(purchases)}
        for row in horizons
        for kind, purchases in _bars(row, errors)
    )
    shortest = horizons[0]
    worth = ""
    if shortest.expected_net_amount is not None:
        worth = f", worth {money(shortest.expected_net_amount, currency)}"
    answer = (
        f"In the {shortest.horizon_days} days from {day(shortest.from_day)} on, about "
        f"{number(shortest.expected_purchases)} purchases are expected of the {number(shortest.customers)} customers "
        f"so far{worth}. {error(next((e for e in errors if e.horizon_days == shortest.horizon_days), None))}"
    )
    return Figure("forecast", rows, f"Bars of the purchases that are expected within each horizon. {answer}", answer)


def error(row: ForecastError | None) -> str:
    """How wrong the last prediction over these days was, or when it can be known."""
    if row is None or row.actual_purchases is None or row.expected_purchases is None:
        when = row.next_matures_on if row else None
        return f"From {day(when)} on, the first such prediction can be held against what came." if when else ""
    came = (
        f"The last such prediction expected {number(row.expected_purchases)}, and {number(row.actual_purchases)} came"
    )
    if row.purchases_error is None:
        return f"{came}."
    way = "too many" if row.purchases_error > 0 else "too few"
    return f"{came}: {abs(row.purchases_error)}% {way}." if row.purchases_error else f"{came}: exact."


def _bars(row: ForecastHorizon, errors: Sequence[ForecastError]) -> list[tuple[str, Decimal | int]]:
    bars: list[tuple[str, Decimal | int]] = [("Expected next", row.expected_purchases)]
    last = next((e for e in errors if e.horizon_days == row.horizon_days), None)
    if last and last.expected_purchases is not None and last.actual_purchases is not None:
        bars += [("Expected last time", last.expected_purchases), ("Came", last.actual_purchases)]
    return bars


def _why_not(fits: Sequence[ForecastFit]) -> str:
    if not fits:
        return "Not predicted yet: a refresh fits the shop once a week, as soon as enough customers have come back."
    return f"Not predicted yet: {fits[0].reason or 'the fit did not converge'}."
