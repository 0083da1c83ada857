"""How each figure is drawn, as an Altair chart."""

import json
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Literal

import altair as alt

from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.pages.colours import Colours, blend
from regulars.dashboard.pages.figures import Name
from regulars.dashboard.pages.formatting import shortened, unit

Size = Literal["wide", "middle", "narrow"]


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


def _room(labels: Sequence[str], limit: int) -> int:
    """Space for the longest label in a font that is wider than the one that the picture is laid out with."""
    return min(limit, round(7.6 * max(map(len, labels), default=0))) + 6


def _legend(labels: Sequence[str], size: Size, *, axis: int = 30) -> alt.Legend:
    """A legend of kinds, in as many columns as fit beside an axis of this width: words may be long."""
    room = (340 if size == "narrow" else 510) - axis
    fits = (
        count
        for count in range(len(labels), 1, -1)
        if sum(32 + 7 * max(map(len, labels[first::count])) for first in range(count)) <= room
    )
    return alt.Legend(columns=next(fits, 1), labelLimit=room)


# A month that is not over is paler.
_UNFINISHED = alt.condition("datum.unfinished", alt.value(0.45), alt.value(1))


def _short(value: str = "datum.value") -> str:
    """12,000 as 12k. d3 writes a billion as G."""
    billion = json.dumps(_("bn"))
    return f"replace(format({value}, '~s'), 'G', {billion})"


def _acquisition(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, _currency: str) -> Any:
    kinds = [_("Returning"), _("New")]
    scale = alt.Scale(domain=kinds, range=[colours.returning, colours.new])
    return (
        alt.Chart(_data(rows))
        .transform_calculate(order=f"indexof({json.dumps(kinds)}, datum.kind)")
        .mark_bar()
        .encode(
            x=_months(rows, size),
            y=alt.Y("customers:Q", title=_("Customers"), axis=alt.Axis(format="~s", tickMinStep=1)),
            color=alt.Color("kind:N", scale=scale, legend=_legend(kinds, size)),
            order=alt.Order("order:Q"),
            opacity=_UNFINISHED,
        )
    )


def _movement(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, _currency: str) -> Any:
    kinds = [_("Retained"), _("Reactivated"), _("New"), _("Lapsed")]
    scale = alt.Scale(domain=kinds, range=[colours.returning, colours.series[2], colours.new, colours.series[-1]])
    # Lapsed customers are below the line, with labels without a sign.
    axis = alt.Axis(labelExpr=_short("abs(datum.value)"), tickMinStep=1)
    return (
        alt.Chart(_data(rows))
        .transform_calculate(order=f"indexof({json.dumps(kinds)}, datum.kind)")
        .mark_bar()
        .encode(
            x=_months(rows, size),
            y=alt.Y("customers:Q", title=_("Customers"), axis=axis),
            color=alt.Color("kind:N", scale=scale, legend=_legend(kinds, size)),
            order=alt.Order("order:Q"),
            opacity=_UNFINISHED,
        )
    )


def _rates(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, _currency: str) -> Any:
    """A line of shares for each kind."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    most = max((row["rate"] or 0 for row in rows), default=0)
    scale = alt.Scale(domain=[0, min(1, max(0.1, most * 1.1))], nice=True)
    base = alt.Chart(_data(rows)).encode(
        x=_months(rows, size),
        y=alt.Y("rate:Q", title=None, axis=alt.Axis(format=".0%"), scale=scale),
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=kinds, range=list(colours.series[: len(kinds)])),
            legend=_legend(kinds, size),
        ),
    )  # fmt: skip
    line = base.mark_line(strokeWidth=2, invalid="break-paths-show-path-domains")
    points = base.mark_point(filled=True, size=30, opacity=1, invalid="filter")
    return line + points.encode(opacity=_UNFINISHED)


def _lifetime_values(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, currency: str) -> Any:
    labels = list(dict.fromkeys(row["label"] for row in rows))
    steps = max(len(labels) - 1, 1)
    shades = [blend(colours.high, colours.young, place / steps) for place in range(len(labels))]
    base = alt.Chart(_data(rows)).encode(
        x=alt.X(
            "since:Q", title=_("Months after the first purchase"),
            axis=alt.Axis(tickMinStep=1, format="d", grid=False), scale=alt.Scale(nice=False),
        ),
        y=alt.Y(
            "value:Q", title=_("Spent so far, %(currency)s", currency=unit(currency)),
            axis=alt.Axis(labelExpr=_short()),
        ),
        color=alt.Color(
            "label:N", sort=labels, scale=alt.Scale(domain=labels, range=shades),
            legend=alt.Legend(columns=3 if size == "narrow" else 6),
        ),
    )  # fmt: skip
    return base.mark_line(strokeWidth=2) + base.mark_point(filled=True, size=22, opacity=1)


def _networks(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, _currency: str) -> Any:
    names = list(dict.fromkeys(row["network"] for row in rows))
    # By rank, because a name may be long, or in a script that runs from right to left.
    legend = alt.Legend(columns=3)
    legend.labelExpr = f"{json.dumps(names)}[datum.value]"
    legend.labelLimit = 90 if size == "narrow" else 150
    scale = alt.Scale(domain=list(range(len(names))), range=list(colours.series[: len(names)]))
    return (
        alt.Chart(_data(rows))
        .mark_bar()
        .encode(
            x=_months(rows, size),
            y=alt.Y("share:Q", title=_("Share of sales"), axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("rank:N", scale=scale, legend=legend),
            order=alt.Order("rank:Q"),
        )
    )


def _cohorts(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, _currency: str) -> Any:
    """Boxes with how many of 100 bought again; the legend names the colours of the fewest and the most."""
    most = max((row["of_100"] for row in rows), default=0) or 1
    labels = list(dict.fromkeys(row["label"] for row in rows))
    axis = alt.Axis(grid=False, labelLimit=120, minExtent=_room(labels, 120))
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("since:O", title=_("Months after the first purchase"), axis=alt.Axis(orient="top", labelOverlap=False)),
        y=alt.Y("label:O", title=None, sort=labels, axis=axis),
    )
    scale = alt.Scale(domain=[0, most], range=[colours.low, colours.high], interpolate="lab")
    legend = alt.Legend(
        orient="bottom", direction="horizontal", title=_("Of 100 customers, bought again"), titleFontWeight="normal",
        titleColor=colours.muted, titleFontSize=11, labelFontSize=11, gradientLength=160, gradientThickness=10,
        values=[0, most], format=".0f", titleLimit=300,
    )  # fmt: skip
    boxes = base.mark_rect(stroke=None).encode(color=alt.Color("of_100:Q", scale=scale, legend=legend))
    on_box = alt.condition(f"datum.of_100 > {most * 0.55}", alt.value(colours.on_high), alt.value(colours.on_low))
    return boxes + base.mark_text(fontSize=10 if size == "narrow" else 11).encode(
        text=alt.Text("of_100:Q", format=".0f"), color=on_box
    )


def _links(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, currency: str) -> Any:
    # By rank, because two links may be shortened to the same label.
    limit = 110 if size == "narrow" else 190
    names = [shortened(name, limit // 7) for name in {row["rank"]: row["link"] for row in rows}.values()]
    axis = alt.Axis(
        title=None, labelExpr=f"{json.dumps(names)}[datum.value]", labelLimit=limit, labelColor=colours.ink,
        labelFontSize=12, grid=False, minExtent=_room(names, limit),
    )  # fmt: skip
    kinds = [_("Last touch"), _("First touch")]
    scale = alt.Scale(domain=kinds, range=[colours.returning, colours.new])
    base = alt.Chart(_data(rows)).encode(
        x=alt.X(
            "net:Q",
            title=_("Revenue, %(currency)s", currency=unit(currency)),
            axis=alt.Axis(labelExpr=_short(), tickCount=4, grid=True),
        ),
        y=alt.Y("rank:O", axis=axis, scale=alt.Scale(paddingInner=0.3)),
        yOffset=alt.YOffset("touch:N", sort=kinds),
        color=alt.Color("touch:N", scale=scale, sort=kinds, legend=_legend(kinds, size, axis=limit)),
    )
    return base.mark_bar()


def _revenue(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, currency: str) -> Any:
    days = [row["day"] for row in rows]
    step = -(-len(days) // (5 if size == "narrow" else 8))
    named = days[::step]
    names = "utcFormat(toDate(datum.value), '%e %b')"
    x = alt.X(
        "day:O", sort=None, axis=alt.Axis(values=named, labelExpr=names, title=None, labelOverlap=False),
        scale=alt.Scale(paddingInner=0.2),
    )  # fmt: skip
    title = unit(currency)
    bars = (
        alt.Chart(_data(rows))
        .mark_bar(color=colours.returning)
        .encode(
            x=x,
            y=alt.Y("net:Q", title=title, axis=alt.Axis(labelExpr=_short())),
            opacity=alt.condition("datum.unfinished || datum.earlier", alt.value(0.25), alt.value(0.6)),
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


def _segments(rows: Sequence[dict[str, Any]], colours: Colours, _size: Size, _currency: str) -> Any:
    names = [row["segment"] for row in rows]
    axis = alt.Axis(
        title=None, labelColor=colours.ink, labelFontSize=12, labelLimit=170, grid=False, minExtent=_room(names, 170)
    )
    x = alt.X("customers:Q", title=_("Customers"), axis=alt.Axis(format="~s", tickCount=4, tickMinStep=1, grid=True))
    y = alt.Y("segment:N", sort=names, axis=axis, scale=alt.Scale(paddingInner=0.3))
    return alt.Chart(_data(rows)).mark_bar(color=colours.returning).encode(x=x, y=y)


def _forecast(rows: Sequence[dict[str, Any]], colours: Colours, size: Size, _currency: str) -> Any:
    kinds = [_("Expected next"), _("Expected last time"), _("Came")]
    scale = alt.Scale(domain=kinds, range=[colours.returning, colours.series[-1], colours.new])
    horizons = list(dict.fromkeys(row["horizon"] for row in rows))
    return (
        alt.Chart(_data(rows))
        .mark_bar()
        .encode(
            x=alt.X("horizon:O", sort=horizons, title=None, scale=alt.Scale(paddingInner=0.4, paddingOuter=0.3)),
            xOffset=alt.XOffset("kind:N", sort=kinds, scale=alt.Scale(domain=kinds)),
            y=alt.Y("purchases:Q", title=_("Purchases"), axis=alt.Axis(labelExpr=_short())),
            color=alt.Color("kind:N", scale=scale, sort=kinds, legend=_legend(kinds, size)),
        )
    )


DRAWN: dict[Name, Callable[[Sequence[dict[str, Any]], Colours, Size, str], Any]] = {
    "acquisition": _acquisition,
    "revenue": _revenue,
    "movement": _movement,
    "repeat-rates": _rates,
    "repurchase": _rates,
    "cohorts": _cohorts,
    "lifetime-values": _lifetime_values,
    "links": _links,
    "networks": _networks,
    "segments": _segments,
    "forecast": _forecast,
}
