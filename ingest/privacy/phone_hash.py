"""The keyed hash of a phone number: it recognises an erased person without storing their number."""

import hmac
from uuid import UUID

from pydantic import SecretStr

from ingest.storage.errors import SettingError
from ingest.storage.settings import Settings


def required_key(settings: Settings) -> SecretStr:
    """The key of the hashes. Raises SettingError, which says how to make one."""
    if settings.erasure_key is None:
        raise SettingError(
            "REGULARS_ERASURE_KEY is not set: without it an erased person can't be recognised. Make one with "
            "`python -c 'import secrets; print(secrets.token_urlsafe(48))'`, keep it, and set it "
            "wherever Regulars runs."
        )
    return settings.erasure_key


def hash_phone(key: SecretStr, *, shop_id: UUID, e164: str) -> bytes:
    """HMAC-SHA-256 over the shop and the phone: the same phone in two shops has two hashes."""
    return hmac.digest(key.get_secret_value().encode(), f"{shop_id} {e164}".encode(), "sha256")


def check_of(key: SecretStr) -> bytes:
    """A short hash of the key alone. It is stored beside each phone's hash and shows when another key is in use."""
    return hmac.digest(key.get_secret_value().encode(), b"regulars", "sha256")[:4]


def hash_for_track(key_check: bytes, *, shop_id: UUID, e164: str | None) -> bytes:
    """The hash that `regulars.track` asks for; empty if this process doesn't have the key of `key_check`.

    With an empty hash the database stores the event as failed.
    """
    try:
        key = required_key(Settings.from_environment())
    except SettingError:
        return b""
    return hash_phone(key, shop_id=shop_id, e164=e164 or "") if check_of(key) == key_check else b""
