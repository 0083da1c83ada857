"""Predicted against actual purchases of CDNOW: `python -m benchmarks.cdnow`; docs/forecasts.md shows what it draws."""

from datetime import date
from pathlib import Path
from typing import Annotated

import altair
import numpy as np
import typer
from rich.console import Console

from flows.forecast import bgnbd
from flows.forecast.bgnbd import Histories, Numbers, Parameters
from tests.cdnow import CALIBRATION_END, Days, purchase_days

WEEKS = 39
PICTURE = Path(__file__).parents[1] / "docs" / "forecast.svg"


def histories_of(days: Days, *, through: date = CALIBRATION_END) -> Histories:
    """What is known of each customer by then, one row a customer."""
    rows = []
    for bought in days.values():
        known = sorted(day for day in bought if day <= through)
        rows.append((len(known) - 1, (known[-1] - known[0]).days / 7, (through - known[0]).days / 7, 1))
    repeats, last, age, customers = np.array(rows, dtype=np.float64).T
    return Histories(repeats, last, age, customers)


def cumulative(parameters: Parameters, histories: Histories) -> Numbers:
    """Expected purchase days of all customers by the end of each of the following weeks."""
    weeks = range(1, WEEKS + 1)
    return np.array([bgnbd.expected_purchases(parameters, histories, weeks=week).sum() for week in weeks])


def actual(days: Days) -> Numbers:
    """Purchase days by the end of each of the following weeks."""
    after = [(day - CALIBRATION_END).days for bought in days.values() for day in bought if day > CALIBRATION_END]
    return np.cumsum(np.bincount([(day - 1) // 7 for day in after], minlength=WEEKS)[:WEEKS]).astype(np.float64)


def spread(histories: Histories, *, repeat_customers: int, draws: int = 40) -> tuple[float, int]:
    """How far fits to shops drawn from CDNOW's customers lie apart: the standard deviation of expected purchases per
    customer in percent of their mean, and how many of the fits can't be used."""
    chance = np.random.default_rng(1)
    share = repeat_customers / (histories.repeats > 0).sum()
    found = []
    for _ in range(draws):
        drawn = chance.random(len(histories.repeats)) < share
        part = Histories(*(column[drawn] for column in (
            histories.repeats, histories.last, histories.age, histories.customers
        )))  # fmt: skip
        fit = bgnbd.fit(part)
        if fit.reason is None:
            # Of the same customers, so that only the parameters differ.
            found.append(bgnbd.expected_purchases(fit.parameters, histories, weeks=WEEKS).mean())
    return (float(np.std(found) / np.mean(found) * 100) if found else float("nan")), draws - len(found)


def draw(predicted: Numbers, came: Numbers, path: Path) -> None:
    """Purchases by week, and cumulative."""
    lines = {"predicted": predicted, "actual": came}
    values = [
        {"week": week + 1, "purchases": float(number), "what": what, "view": view}
        for what, line in lines.items()
        for view, numbers in (("by week", np.diff(line, prepend=0.0)), ("cumulative", line))
        for week, number in enumerate(numbers)
    ]
    base = altair.Chart({"values": values}).encode(
        x=altair.X("week:Q", title="week after 30 September 1997"),
        y=altair.Y("purchases:Q", title="purchase days"),
        color=altair.Color(
            "what:N", title=None, sort=["actual", "predicted"], scale=altair.Scale(range=["#1f3b57", "#d1661b"])
        ),
        strokeDash=altair.StrokeDash("what:N", legend=None, sort=["actual", "predicted"]),
    )
    panels = [
        base.mark_line().transform_filter(altair.datum.view == view).properties(width=320, height=220, title=view)
        for view in ("by week", "cumulative")
    ]
    altair.hconcat(*panels).configure(font="sans-serif").save(str(path))


def main(picture: Annotated[Path, typer.Option(help="Where the picture goes")] = PICTURE) -> None:
    """Fit the first 39 weeks, predict the following 39, and draw both."""
    console = Console(highlight=False)
    for sample in (True, False):
        days = purchase_days(sample=sample)
        histories = histories_of(days)
        fit = bgnbd.fit(histories)
        predicted, came = cumulative(fit.parameters, histories), actual(days)
        console.print(f"{len(days):,} customers: {fit.parameters}, log-likelihood {fit.log_likelihood:,.1f}")
        weekly = np.abs(np.diff(predicted, prepend=0.0) - np.diff(came, prepend=0.0)).sum() / came[-1] * 100
        for week in (4, 13, 26, 39):
            error = (predicted[week - 1] / came[week - 1] - 1) * 100
            console.print(
                f"{week} weeks: {predicted[week - 1]:,.0f} predicted, {came[week - 1]:,.0f} came, {error:+.1f} %"
            )
        console.print(f"off by {weekly:.1f} % in the average week")
    draw(predicted, came, picture)
    for number in (30, 50, 100, 200, 500):
        deviation, unusable = spread(histories, repeat_customers=number)
        console.print(f"{number} repeat customers: +-{deviation:.0f} %, {unusable} of 40 can't be used")


if __name__ == "__main__":
    typer.run(main)
