"""Signs an owner in by a link, and keeps the session in a cookie."""

from fastapi import Request, Response

from ingest.storage.settings import Settings
from regulars.dashboard.security.tokens import SESSION, SESSION_LASTS, SIGN_IN, Keys, NotSignedIn, Owner

COOKIE = "regulars_session"


def owner(request: Request) -> Owner:
    """The owner whose session the cookie holds. Raises NotSignedIn."""
    token = request.cookies.get(COOKIE)
    if not token:
        raise NotSignedIn("missing")
    return _keys(request).verify(token, audience=SESSION)


def sign_in(request: Request, response: Response, *, token: str) -> None:
    """Sets the session's cookie. Raises NotSignedIn where the link's token is forged or has expired."""
    owner = _keys(request).verify(token, audience=SIGN_IN)
    # Lax: a link in a mail or a chat must arrive signed in, and a form on another site must not.
    response.set_cookie(
        COOKIE,
        _keys(request).session(owner.sub),
        max_age=int(SESSION_LASTS.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=_is_https(request),
    )


def sign_out(request: Request, response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=_is_https(request))


def _keys(request: Request) -> Keys:
    keys: Keys = request.app.state.keys
    return keys


def _is_https(request: Request) -> bool:
    # A proxy may end TLS without telling us, so the address of the dashboard is a setting.
    settings: Settings = request.app.state.settings
    return request.url.scheme == "https" or settings.dashboard_url.startswith("https:")
