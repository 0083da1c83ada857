"""Signs an owner in by a link, keeps the session in a cookie, and ends it."""

from contextlib import suppress
from urllib.parse import urlsplit

from fastapi import Request, Response

from ingest.storage.settings import Settings
from regulars.dashboard.errors import NotFromHere
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.security.tokens import SESSION, SESSION_LASTS, SIGN_IN, Keys, NotSignedIn, Owner
from regulars.web.head import is_head

COOKIE = "regulars_session"


def owner(request: Request) -> Owner:
    """The owner whose session the cookie holds. Raises NotSignedIn.

    Whether the session was signed out is known when the owner reads: see `Reader.as_owner`.
    """
    token = request.cookies.get(COOKIE)
    if not token:
        raise NotSignedIn("missing")
    return _keys(request).verify(token, audience=SESSION)


def link_owner(request: Request, *, token: str) -> Owner:
    """The owner whom a sign-in link's token names. Raises NotSignedIn where it is forged or has expired."""
    return _keys(request).verify(token, audience=SIGN_IN)


def is_reusable(link: Owner) -> bool:
    return link.token is not None and link.token.is_reusable


def is_opened_by_a_person(request: Request) -> bool:
    """Whether a browser opens the address as a page. Chats and mail scanners, which also open links, don't say so."""
    is_prefetched = "Sec-Purpose" in request.headers
    return request.headers.get("Sec-Fetch-Dest") == "document" and not is_prefetched and not is_head(request.scope)


def sign_in(request: Request, response: Response, *, link: Owner) -> None:
    """Uses the link up, unless it is reusable, and sets the session's cookie. Raises NotSignedIn and NotLoaded."""
    if not is_reusable(link) and not _reader(request).end_token(link):
        # Somebody who reloads the page, or presses the button twice, is signed in already.
        if _is_signed_in(request, as_owner=link):
            return
        raise NotSignedIn("ended")
    # Lax: a link in a mail or a chat must arrive signed in, and a form on another site must not.
    response.set_cookie(
        COOKIE,
        _keys(request).session(link.sub),
        max_age=int(SESSION_LASTS.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=_is_https(request),
    )


def sign_out(request: Request, response: Response) -> None:
    """Ends the session on the server and deletes its cookie. Raises NotFromHere, and NotLoaded where it goes on."""
    require_from_here(request)
    # Where nobody is signed in, there is no session to end.
    with suppress(NotSignedIn):
        _reader(request).end_token(owner(request))
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=_is_https(request))


def require_from_here(request: Request) -> None:
    """Raises NotFromHere where a browser says that another site made it send this.

    Programs and browsers from before 2020 don't say it; those browsers don't send the cookie, which is SameSite=Lax.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        is_from_here = site in ("same-origin", "none")
    else:
        is_from_here = origin is None or urlsplit(origin).netloc in _own_hosts(request)
    if not is_from_here:
        raise NotFromHere


def _own_hosts(request: Request) -> set[str]:
    """Hosts with their ports: as the browser named us, and as the settings do, because a proxy may rename us."""
    settings: Settings = request.app.state.settings
    return {host for host in (request.headers.get("Host"), urlsplit(settings.dashboard_url).netloc) if host}


def _is_signed_in(request: Request, *, as_owner: Owner) -> bool:
    try:
        already = owner(request)
        with _reader(request).as_owner(already):
            return already == as_owner
    except NotSignedIn:
        return False


def _keys(request: Request) -> Keys:
    keys: Keys = request.app.state.keys
    return keys


def _reader(request: Request) -> Reader:
    reader: Reader = request.app.state.reader
    return reader


def _is_https(request: Request) -> bool:
    # A proxy may end TLS without telling us, so the address of the dashboard is a setting.
    settings: Settings = request.app.state.settings
    return request.url.scheme == "https" or settings.dashboard_url.startswith("https:")
