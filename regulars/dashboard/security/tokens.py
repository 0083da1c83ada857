"""Tokens: our own for sign-in links and sessions, and for the API also ones that another service signed.

A token names the owner in `sub`, the `user_id` of their shops. Each key verifies exactly one algorithm; a token can't
choose another. Our own for links and sessions also have an id (`jti`), by which they can be ended before they expire.
"""

import hashlib
import logging
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import jwt
from jwt.types import Options

from ingest.storage.errors import RegularsError, SettingError
from ingest.storage.settings import Settings

log = logging.getLogger("regulars.dashboard")

SIGN_IN = "regulars:sign-in"
SESSION = "regulars:session"
SIGN_IN_LASTS = timedelta(minutes=15)
"""How long an operator's link works, which a person sends to another."""
BUTTON_LASTS = timedelta(minutes=2)
"""How long an address of `POST /session` works, which a browser opens at once."""
SESSION_LASTS = timedelta(hours=12)
_OUR_AUDIENCES = (SIGN_IN, SESSION)

_LEEWAY = timedelta(seconds=10)
_MAX_SUB = 255
_PUBLIC_ALGORITHMS = ("RS256", "ES256", "EdDSA")

_REASONS = {
    "missing": "Send a token: Authorization: Bearer <token>.",
    "expired": "The token has expired.",
    "ended": "The token has been used, or its session was signed out.",
    "not valid": "The token is not valid.",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A sign-in link's or session's token, which can be ended before it expires."""

    id_hash: bytes
    expires_at: datetime
    is_reusable: bool
    """A link that signs in any number of times."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who is signed in: owns the shops with this user_id."""

    sub: str
    token: Token | None = field(default=None, compare=False)
    """The link's or the session's; the API's tokens can't be ended."""


class NotSignedIn(RegularsError):
    """There is no token, or it is not valid. The message has no more than `reason`."""

    def __init__(self, reason: Literal["missing", "expired", "ended", "not valid"]) -> None:
        super().__init__(_REASONS[reason])
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Key:
    algorithm: str
    kid: str | None
    key: Any


class Keys:
    """Signs and verifies tokens. Raises SettingError where no key is set, or none can be read."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
        self._file = settings.jwks_file
        self._audience = settings.jwt_audience
        if self._secret is None and self._file is None:
            raise SettingError(
                "Neither REGULARS_JWT_SECRET nor REGULARS_JWKS_FILE is set: give a secret of 32 characters or more, "
                "such as `openssl rand -hex 32` prints, or the public keys of the service that signs your tokens."
            )
        if self._audience in _OUR_AUDIENCES:
            raise SettingError("REGULARS_JWT_AUDIENCE can't be one that Regulars uses itself.")
        if self._secret is not None:
            try:
                jwt.encode({}, self._secret, algorithm="HS256")
            except jwt.InvalidKeyError:
                raise SettingError("REGULARS_JWT_SECRET is a public key or a certificate: give a secret.") from None
        self._lock = threading.Lock()
        self._seen = _state(self._file)
        self._public_keys = _read(self._file) if self._file else []

    def verify(self, token: str, *, audience: str | None = None) -> Owner:
        """The owner whom the token names; `audience` defaults to the API's. Raises NotSignedIn.

        Only the database knows whether the token was ended: `Reader.as_owner` asks it.
        """
        audience = audience or self._audience
        is_ours = audience in _OUR_AUDIENCES
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError):
            raise NotSignedIn("not valid") from None
        # PyJWT checks `crit` only from 2.12 on. We support no critical extension, so a token with one is not ours.
        if "crit" in header:
            raise NotSignedIn("not valid")
        for key in self._keys(header, is_ours=is_ours):
            try:
                claims = jwt.decode(
                    token,
                    key.key,
                    algorithms=[key.algorithm],
                    audience=audience,
                    leeway=_LEEWAY,
                    options=Options(require=["exp", "sub", "aud", *(["jti"] if is_ours else [])]),
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                raise NotSignedIn("expired") from None
            except (jwt.InvalidTokenError, jwt.InvalidKeyError, ValueError, TypeError, OverflowError, RecursionError):
                break
            return Owner(sub=_sub(claims["sub"]), token=_token(claims) if is_ours else None)
        raise NotSignedIn("not valid")

    def sign_in_link_token(self, sub: str, *, lasts: timedelta = SIGN_IN_LASTS, is_reusable: bool = False) -> str:
        """A token for a sign-in link, which works once unless it is reusable.

        Raises SettingError without REGULARS_JWT_SECRET.
        """
        reusable = {"reusable": True} if is_reusable else {}
        return self._sign(sub, audience=SIGN_IN, lasts=lasts, jti=secrets.token_urlsafe(16), **reusable)

    def session(self, sub: str) -> str:
        """A token for a session's cookie, valid for SESSION_LASTS. Raises SettingError without REGULARS_JWT_SECRET."""
        return self._sign(sub, audience=SESSION, lasts=SESSION_LASTS, jti=secrets.token_urlsafe(16))

    def api_token(self, sub: str, *, lasts: timedelta) -> str:
        """A token for the API. Raises SettingError without REGULARS_JWT_SECRET."""
        return self._sign(sub, audience=self._audience, lasts=lasts)

    def _sign(self, sub: str, *, audience: str, lasts: timedelta, **more: object) -> str:
        if self._secret is None:
            raise SettingError(
                "REGULARS_JWT_SECRET is not set and signs the tokens: set it to what `openssl rand -hex 32` prints."
            )
        now = datetime.now(UTC)
        claims = {"sub": sub, "aud": audience, "iat": now, "exp": now + lasts} | more
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def _keys(self, header: dict[str, Any], *, is_ours: bool) -> Iterator[_Key]:
        """The keys that may have signed the token: those of its algorithm, and of its kid if it names one."""
        if header.get("alg") == "HS256":
            if self._secret is not None:
                yield _Key("HS256", None, self._secret)
        elif not is_ours:
            kid = header.get("kid")
            yield from (
                key
                for key in self._current_public_keys()
                if key.algorithm == header.get("alg") and (kid is None or key.kid == kid)
            )

    def _current_public_keys(self) -> list[_Key]:
        """The file's keys, read again when it changes. If it can't be read, the previous keys stay."""
        if self._file is not None and (state := _state(self._file)) != self._seen:
            with self._lock:
                self._seen = state
                try:
                    self._public_keys = _read(self._file)
                except SettingError as error:
                    log.error("%s The previous keys stay in use.", error)
        return self._public_keys


def _sub(claimed: object) -> str:
    """The user's id, which becomes the transaction's claim. Raises NotSignedIn where it can't be one."""
    if not isinstance(claimed, str) or not 1 <= len(claimed) <= _MAX_SUB or not claimed.isprintable():
        raise NotSignedIn("not valid")
    if not claimed.strip():
        raise NotSignedIn("not valid")
    return claimed


def _token(claims: dict[str, Any]) -> Token:
    """Raises NotSignedIn where the token lasts longer than any of ours: it would outlive the record of its end."""
    last = datetime.now(UTC) + SESSION_LASTS + _LEEWAY
    if int(claims["exp"]) > last.timestamp():
        raise NotSignedIn("not valid")
    return Token(
        id_hash=hashlib.sha256(claims["jti"].encode()).digest(),
        expires_at=datetime.fromtimestamp(int(claims["exp"]), UTC),
        is_reusable=claims.get("reusable") is True,
    )


def _state(file: Path | None) -> object:
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(file: Path) -> list[_Key]:
    """The keys of a JWKS file that may verify signatures. Raises SettingError where there are none."""
    try:
        jwks = jwt.PyJWKSet.from_json(file.read_text())
    except OSError:
        raise SettingError(f"REGULARS_JWKS_FILE: {file} can't be read.") from None
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError):
        raise SettingError(f"REGULARS_JWKS_FILE: {file} is not a JWKS, or holds no key of a known kind.") from None
    keys = [
        _Key(key.algorithm_name, key.key_id, key.key)
        for key in jwks.keys
        # A secret key doesn't belong in a file of public keys.
        if key.algorithm_name in _PUBLIC_ALGORITHMS and key.public_key_use in (None, "sig")
    ]
    if not keys:
        raise SettingError(f"REGULARS_JWKS_FILE: {file} holds no key for {', '.join(_PUBLIC_ALGORITHMS)}.")
    return keys
