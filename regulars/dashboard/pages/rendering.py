"""Templates to HTML. Everything that a template prints is escaped."""

import hashlib
from functools import cache
from importlib.resources import files
from urllib.parse import urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from regulars.dashboard.pages import charts, formatting, segment_words

_STATIC = files("regulars.dashboard") / "static"


def render(
    template: str, *, status: int = 200, headers: dict[str, str] | None = None, **variables: object
) -> HTMLResponse:
    """A page that no cache stores, because pages hold people's names."""
    body = _environment().get_template(template).render(variables)
    return HTMLResponse(body, status_code=status, headers={"Cache-Control": "no-store"} | (headers or {}))


def link(path: str, **parameters: object) -> str:
    """The address, with the parameters that are not None."""
    query = {name: _written(value) for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(query)}" if query else path


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@cache
def _static(name: str) -> str:
    """The file's address, which changes with its content."""
    return f"/static/{name}?v={hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("regulars.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "number",
        "counted",
        "amount",
        "money",
        "percent",
        "change",
        "moment",
        "day",
        "month",
        "full_month",
        "month_name",
        "volume",
        "shortened",
    ):
        environment.filters[name] = getattr(formatting, name)
    environment.filters |= {
        "width": charts.width,
        "height": charts.height,
        "segment_label": segment_words.label,
        "segment_meaning": segment_words.meaning,
    }
    environment.globals |= {"link": link, "static": _static}
    return environment
