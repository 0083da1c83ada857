"""The language of a response: that of `?lang=`, otherwise the browser's, otherwise English."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from babel import negotiate_locale
from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from regulars.dashboard.language import catalogue
from regulars.dashboard.language.catalogue import DEFAULT, LANGUAGES

COOKIE = "regulars_language"
PARAMETER = "lang"
_A_YEAR = 365 * 24 * 60 * 60
_MOST_ASKED = 20
"""Languages of an Accept-Language that are looked at."""


def headers() -> dict[str, str]:
    """The headers of a response with texts: its language, and what that depends on."""
    return {"Content-Language": catalogue.language(), "Vary": "Accept-Language, Cookie"}


def asked_for(accept_language: str) -> str:
    """The language that an Accept-Language wants most, of those that there are. Never raises."""
    wanted = (_weighed(part) for part in accept_language.split(",")[:_MOST_ASKED])
    preferred = [tag for tag, weight in sorted(wanted, key=lambda pair: pair[1], reverse=True) if weight > 0]
    return negotiate_locale([tag.lower().replace("-", "_") for tag in preferred], list(LANGUAGES)) or DEFAULT


def _weighed(part: str) -> tuple[str, float]:
    tag, _, weight = part.partition(";")
    name, _, written = weight.strip().partition("=")
    try:
        return tag.strip(), float(written) if name.strip() == "q" else 1.0
    except ValueError:
        return tag.strip(), 0.0


class Languages:
    """Middleware that answers each request in its language.

    An address with `lang` sets the cookie and leads to the same address without it, so that addresses that owners keep
    and share have no language.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        asked = [value for name, value in query if name == PARAMETER]
        if asked and scope["method"] == "GET" and not scope["path"].startswith("/api/"):
            rest = [(name, value) for name, value in query if name != PARAMETER]
            await _remember(asked[-1], scope["path"], rest, is_https=scope["scheme"] == "https")(scope, receive, send)
            return
        with catalogue.speaking(_language_of(Headers(scope=scope))):
            await self._app(scope, receive, send)


def _language_of(given: Headers) -> str:
    kept = cookie_parser(given.get("cookie", "")).get(COOKIE)
    return kept if kept in LANGUAGES else asked_for(given.get("accept-language", ""))


def _remember(chosen: str, path: str, query: Sequence[tuple[str, str]], *, is_https: bool) -> RedirectResponse:
    address = _local(path)
    # The query may hold a sign-in link's token.
    response = RedirectResponse(
        f"{address}?{urlencode(query)}" if query else address,
        status_code=303,
        headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
    )
    if chosen in LANGUAGES:
        response.set_cookie(COOKIE, chosen, max_age=_A_YEAR, path="/", httponly=True, samesite="lax", secure=is_https)
    return response


def _local(path: str) -> str:
    """With one slash and no backslash at its start, so that it leads to no other host."""
    return "/" + quote(path.lstrip("/\\"))


@dataclass(frozen=True, slots=True)
class Choice:
    language: str
    name: str
    address: str
    """This page, in this language."""
    is_current: bool


def choices(request: Request, *, keeps_page: bool) -> list[Choice]:
    """The languages to switch to. Where the address holds a token, or is not a page's, they lead to the start.

    `keeps_page`: False for an error page, which must not repeat what was asked for.
    """
    path, query = _local(request.url.path), request.query_params.multi_items()
    if not keeps_page or request.method != "GET" or path == "/sign-in":
        path, query = "/", []
    return [
        Choice(language, name, f"{path}?{urlencode([*query, (PARAMETER, language)])}", language == catalogue.language())
        for language, name in LANGUAGES.items()
    ]
