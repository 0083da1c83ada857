"""The benchmarks' plots: small bars as SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import altair


def save_bars(
    figures: Sequence[Mapping[str, object]],
    *,
    name: str,
    value: str,
    title: str,
    path: Path,
    order: Sequence[str],
    logarithmic: bool = False,
) -> None:
    """One bar for each figure's `name`, `value` long, in a row of bars for each `group`."""
    bars = (
        altair.Chart({"values": [dict(figure) for figure in figures]})
        .mark_bar(height={"band": 0.8})
        .encode(
            x=altair.X(f"{value}:Q", title=None, scale=altair.Scale(type="symlog" if logarithmic else "linear")),
            y=altair.Y(f"{name}:N", title=None, sort=list(order)),
            color=altair.Color(f"{name}:N", legend=None, sort=list(order)),
        )
    )
    groups = list(dict.fromkeys(figure["group"] for figure in figures))
    text = bars.mark_text(align="left", dx=3).encode(text=f"{value}:Q", color=altair.value("black"))
    chart = altair.layer(bars, text).properties(width=320, height=16 * len(order))
    chart.facet(row=altair.Row("group:N", title=None, sort=groups)).properties(title=title).save(str(path))
