"""Draws a figure with Altair as an SVG, which vl-convert renders; the last few hundred are cached."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import altair as alt
import vl_convert
from cachetools import LRUCache, cached

from regulars.dashboard.language.catalogue import language
from regulars.dashboard.pages import colours as palette
from regulars.dashboard.pages import drawings
from regulars.dashboard.pages.colours import COLOURS, Colours, Theme
from regulars.dashboard.pages.drawings import DRAWN, Size
from regulars.dashboard.pages.figures import Figure, Name

_FONT = "Segoe UI, Roboto, Noto Sans, Liberation Sans, Arial, sans-serif"
_NARROW = 340
_D3_LOCALES: dict[str, Literal["en-US", "fr-FR"]] = {"en": "en-US", "fr": "fr-FR"}
"""The language → the picture library's name of how numbers and months are written in it."""
# In a row of their own.
_WIDE: tuple[Name, ...] = ("lifetime-values", "links", "networks", "segments", "forecast")
# Part of every key, so that browsers fetch pictures again when one of these modules changes.
_SOURCES = b"".join(Path(str(file)).read_bytes() for file in (__file__, palette.__file__, drawings.__file__))
_EDITION = hashlib.sha256(_SOURCES + alt.__version__.encode()).hexdigest()


def height(figure: Figure) -> int:
    """In pixels, the same for every size and theme, so that a page can reserve the space."""
    if figure.name == "cohorts":
        return 118 + 24 * len({row["cohort"] for row in figure.rows})
    if figure.name == "links":
        return 70 + 18 * len(figure.rows)
    if figure.name == "segments":
        return 44 + 26 * len(figure.rows)
    if figure.name == "lifetime-values":
        return 250 + 5 * len({row["label"] for row in figure.rows})
    return 250


def width(figure: Figure, size: Size) -> int:
    if size == "narrow":
        return _NARROW
    if figure.name not in _WIDE:
        return 520
    return 720 if size == "middle" else 1080


def key(figure: Figure, *, theme: Theme, size: Size, currency: str) -> str:
    """Equal for equal pictures in the same language, for every reader and refresh."""
    content = json.dumps([_EDITION, asdict(figure), theme, size, currency, language()], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class DrawingFailed(Exception):
    """The picture can't be drawn; the page still has its table."""


def warm_up() -> None:
    """Draws a picture in advance, because the first one of a process takes a second longer."""
    vl_convert.vegalite_to_svg({"mark": "point", "data": {"values": []}})


@cached(LRUCache(maxsize=512), key=key, lock=Lock())
def draw(figure: Figure, *, theme: Theme, size: Size, currency: str) -> str:
    """The SVG of a figure that has rows."""
    colours = COLOURS[theme]
    try:
        chart = DRAWN[figure.name](figure.rows, colours, size, currency)
        spec = chart.properties(
            width=width(figure, size),
            height=height(figure),
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        )
        # The tests of the figures validate the specification; here it would double the time.
        return vl_convert.vegalite_to_svg(
            _configured(spec, colours).to_dict(validate=False),
            format_locale=_D3_LOCALES[language()],
            time_format_locale=_D3_LOCALES[language()],
        )
    except ValueError as error:
        raise DrawingFailed(figure.name) from error


def _configured(chart: Any, colours: Colours) -> Any:
    return (
        # A browser's font may be wider than the one of the layout, and the last label of an axis ends at the frame.
        chart.configure(background="transparent", font=_FONT, padding={"left": 2, "top": 2, "right": 6, "bottom": 2})
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=colours.muted, titleColor=colours.muted, labelFontSize=11, titleFontSize=11,
            titleFontWeight="normal", gridColor=colours.line, domainColor=colours.line, ticks=False, labelPadding=6,
        )
        .configure_axisX(grid=False, labelAngle=0)
        .configure_axisY(domain=False, tickCount=4)
        .configure_legend(
            orient="top", title=None, labelColor=colours.ink, labelFontSize=12, symbolType="square", symbolSize=90,
            offset=6, padding=0, columnPadding=18,
        )
    )  # fmt: skip
