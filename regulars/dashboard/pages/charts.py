"""Draws a figure with Altair as an SVG, which vl-convert renders; the last few hundred are cached."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import altair as alt
import vl_convert
from cachetools import LRUCache, cached

from regulars.dashboard.pages.figures import Figure, Name

Theme = Literal["light", "dark"]
Size = Literal["wide", "narrow"]

_FONT = "Segoe UI, Roboto, Noto Sans, Liberation Sans, Arial, sans-serif"
_NARROW = 340
# Part of every key, so that browsers fetch pictures again when this module changes.
_EDITION = hashlib.sha256(Path(__file__).read_bytes() + alt.__version__.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Colours:
    """The stylesheet's colours, which a picture can't read from there."""

    ink: str
    muted: str
    line: str
    new: str
    returning: str
    low: str
    high: str
    on_low: str
    on_high: str


_COLOURS: dict[Theme, Colours] = {
    "light": Colours(
        ink="#1b2420", muted="#56645e", line="#dde4e0", new="#c4770f", returning="#0f6f63",
        low="#e6f0ed", high="#0b5a50", on_low="#1b2420", on_high="#ffffff",
    ),
    "dark": Colours(
        ink="#e6ede9", muted="#9dada6", line="#2c3733", new="#e3a44b", returning="#45b5a4",
        low="#1f2d29", high="#5fd0be", on_low="#e6ede9", on_high="#10201c",
    ),
}  # fmt: skip


def height(figure: Figure) -> int:
    """In pixels, the same for every size and theme, so that a page can reserve the space."""
    if figure.name == "cohorts":
        return 62 + 24 * len({row["cohort"] for row in figure.rows})
    if figure.name == "links":
        return 44 + 26 * len(figure.rows)
    return 250


def width(figure: Figure, size: Size) -> int:
    if size == "narrow":
        return _NARROW
    return 1080 if figure.name == "revenue" else 520


def key(figure: Figure, *, theme: Theme, size: Size, currency: str) -> str:
    """The same for equal pictures, whoever reads them and whichever refresh they show."""
    content = json.dumps([_EDITION, asdict(figure), theme, size, currency], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class DrawingFailed(Exception):
    """The picture can't be drawn; the page still has its table."""


def warm_up() -> None:
    """Draws a picture that nobody sees, because the first one of a process takes a second longer."""
    vl_convert.vegalite_to_svg({"mark": "point", "data": {"values": []}})


@cached(LRUCache(maxsize=512), key=key, lock=Lock())
def draw(figure: Figure, *, theme: Theme, size: Size, currency: str) -> str:
    """The SVG of a figure that has rows."""
    colours = _COLOURS[theme]
    try:
        chart = _DRAWN[figure.name](figure.rows, colours, size, currency)
        spec = chart.properties(
            width=width(figure, size),
            height=height(figure),
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        )
        # The tests of the figures validate the specification; here it would double the time.
        return vl_convert.vegalite_to_svg(_configured(spec, colours).to_dict(validate=False))
    except ValueError as error:
        raise DrawingFailed(figure.name) from error


def _configured(chart: Any, colours: Colours) -> Any:
    return (
        chart.configure(background="transparent", font=_FONT, padding=2)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=colours.muted, titleColor=colours.muted, labelFontSize=11, titleFontSize=11,
            titleFontWeight="normal", gridColor=colours.line, domainColor=colours.line, ticks=False, labelPadding=6,
        )
        .configure_axisX(grid=False, labelAngle=0)
        .configure_axisY(domain=False, tickCount=4)
        .configure_legend(
            orient="top", title=None, labelColor=colours.ink, labelFontSize=12, symbolType="square", symbolSize=90,
            offset=6, padding=0,
        )
    )  # fmt: skip


def _data(rows: Sequence[dict[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=list(rows))


def _months(rows: Sequence[dict[str, Any]], size: Size) -> alt.X:
    """Months as steps; where there are many, fewer are labelled, so that labels don't overlap."""
    months = list(dict.fromkeys(row["month"] for row in rows))
    room = 6 if size == "narrow" else 13
    every = next(step for step in (1, 2, 3, 6, 12, 24, 60, 120, 1200) if len(months) / step <= room)
    named = [month for month in months if (date.fromisoformat(month).month - 1 + 12 * int(month[:4])) % every == 0]
    names = "[utcFormat(toDate(datum.value), '%b'), utcFormat(toDate(datum.value), '%Y')]"
    if every < 12:  # the year only where it begins
        first = json.dumps((named or months)[0])
        names = (
            f"datum.value == {first} || substring(datum.value, 5, 7) == '01' ? {names} "
            ": utcFormat(toDate(datum.value), '%b')"
        )
    axis = alt.Axis(values=named or months[:1], labelExpr=names, title=None, labelOverlap=False)
    # With a single month, the column must not fill the picture.
    inner, outer = max(0.25, 0.82 - 0.07 * len(months)), 0.15 if len(months) > 7 else 1
    return alt.X("month:O", sort=None, axis=axis, scale=alt.Scale(paddingInner=inner, paddingOuter=outer))


# A month that is not over is paler.
_UNFINISHED = alt.condition("datum.unfinished", alt.value(0.45), alt.value(1))
# d3 writes a billion as G.
_SHORT = "replace(format(datum.value, '~s'), 'G', 'bn')"


def _acquisition(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, _: str) -> Any:
    kinds = ["Returning", "New"]
    scale = alt.Scale(domain=kinds, range=[colours.returning, colours.new])
    return (
        alt.Chart(_data(rows))
        .mark_bar()
        .encode(
            x=_months(rows, size),
            y=alt.Y("customers:Q", title="Customers", axis=alt.Axis(format="~s", tickMinStep=1)),
            color=alt.Color("kind:N", scale=scale),
            order=alt.Order("kind:N", sort="descending"),
            opacity=_UNFINISHED,
        )
    )


def _repeat_rates(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, _: str) -> Any:
    most = max((row["rate"] or 0 for row in rows), default=0)
    scale = alt.Scale(domain=[0, min(1, max(0.1, most * 1.1))], nice=True)
    base = alt.Chart(_data(rows)).encode(
        x=_months(rows, size),
        y=alt.Y("rate:Q", title="Had bought before", axis=alt.Axis(format=".0%"), scale=scale),
    )
    line = base.mark_line(color=colours.returning, strokeWidth=2, invalid="break-paths-show-path-domains")
    points = base.mark_point(color=colours.returning, filled=True, size=36, opacity=1, invalid="filter")
    return line + points.encode(opacity=_UNFINISHED)


def _cohorts(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, _: str) -> Any:
    columns = len({row["since"] for row in rows})
    most = max((row["rate"] for row in rows), default=0) or 1
    labels = list(dict.fromkeys(row["label"] for row in rows))
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("since:O", title="Months after the first purchase", axis=alt.Axis(orient="top", labelOverlap=True)),
        y=alt.Y("label:O", title=None, sort=labels, axis=alt.Axis(grid=False, labelLimit=120)),
    )
    scale = alt.Scale(domain=[0, most], range=[colours.low, colours.high], interpolate="lab")
    tiles = base.mark_rect(stroke=None).encode(color=alt.Color("rate:Q", scale=scale, legend=None))
    if columns > (7 if size == "narrow" else 14):
        return tiles  # too narrow for a number: the table has them
    on_tile = alt.condition(f"datum.rate > {most * 0.55}", alt.value(colours.on_high), alt.value(colours.on_low))
    return tiles + base.mark_text(fontSize=11).encode(text=alt.Text("rate:Q", format=".0%"), color=on_tile)


def _links(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, currency: str) -> Any:
    # By rank, because two links may be shortened to the same label.
    names = json.dumps([row["link"] for row in rows])
    axis = alt.Axis(
        title=None, labelExpr=f"{names}[datum.value]", labelLimit=110 if size == "narrow" else 190,
        labelColor=colours.ink, labelFontSize=12, grid=False,
    )  # fmt: skip
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("net:Q", title=f"Revenue, {currency}", axis=alt.Axis(labelExpr=_SHORT, tickCount=4, grid=True)),
        y=alt.Y("rank:O", axis=axis, scale=alt.Scale(paddingInner=0.3)),
    )
    return base.mark_bar(color=colours.returning)


def _revenue(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, currency: str) -> Any:
    days = [date.fromisoformat(row["day"]) for row in rows]
    named = [day.isoformat() for day in days if day.day in ((1,) if size == "narrow" else (1, 15))]
    names = "utcFormat(toDate(datum.value), '%e %b')"
    x = alt.X(
        "day:O", sort=None, axis=alt.Axis(values=named, labelExpr=names, title=None, labelOverlap=False),
        scale=alt.Scale(paddingInner=0.2),
    )  # fmt: skip
    title = f"{currency}"
    bars = (
        alt.Chart(_data(rows))
        .mark_bar(color=colours.returning)
        .encode(
            x=x,
            y=alt.Y("net:Q", title=title, axis=alt.Axis(labelExpr=_SHORT)),
            opacity=alt.condition("datum.unfinished", alt.value(0.3), alt.value(0.55)),
        )
    )
    mean = (
        alt.Chart(_data(rows))
        .transform_window(mean="mean(net)", days="count()", frame=[-6, 0])
        .transform_filter("datum.days == 7 && !datum.unfinished")
        .mark_line(color=colours.new, strokeWidth=2)
        .encode(x=x, y="mean:Q")
    )
    return bars + mean


_DRAWN: dict[Name, Callable[[Sequence[dict[str, Any]], Colours, Size, str], Any]] = {
    "acquisition": _acquisition,
    "repeat-rates": _repeat_rates,
    "cohorts": _cohorts,
    "links": _links,
    "revenue": _revenue,
}
