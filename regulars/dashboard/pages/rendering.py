"""Templates to HTML. Everything that a template prints is escaped."""

import hashlib
from functools import cache
from importlib.resources import files
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from regulars.dashboard.language import catalogue, choice
from regulars.dashboard.pages import charts, formatting, link_figures, order_words, reasons, rhythm_words, segment_words

_STATIC = files("regulars.dashboard") / "static"


def render(
    request: Request, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **variables: object
) -> HTMLResponse:
    """A page in the language of the request, that no cache stores, because pages hold people's names."""
    body = (
        _environment()
        .get_template(template)
        .render(languages=choice.choices(request, keeps_page=status < 400), **variables)
    )
    common = {"Cache-Control": "no-store"} | choice.headers()
    return HTMLResponse(body, status_code=status, headers=common | (headers or {}))


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


def _text(text: str, **values: object) -> Markup:
    """As Jinja's own, in a quarter of its time: a list of customers has a thousand of these. Values are escaped."""
    found = Markup(catalogue.gettext(text))  # noqa: S704 - the catalogue is ours
    return found % values if values else found


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("regulars.dashboard"),
        autoescape=True,
        extensions=["jinja2.ext.i18n"],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "number",
        "amount",
        "money",
        "percent",
        "decimal",
        "unit",
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
        "network": link_figures.network_name,
        "reason": reasons.reason,
        "rhythm": rhythm_words.reason,
        "rhythm_sentence": rhythm_words.sentence,
        "state": rhythm_words.state,
        "status": order_words.status,
        "segment_label": segment_words.label,
        "segment_meaning": segment_words.meaning,
    }
    environment.globals |= {"link": link, "static": _static, "language": catalogue.language}
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        catalogue.gettext, catalogue.ngettext, newstyle=True, pgettext=catalogue.pgettext
    )
    environment.globals["_"] = _text
    return environment
