"""Proofs of erasure: a keyed hash of the phone, by which an erased person's old orders are recognised."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import SecretStr

from ingest.privacy.phone_hash import check_of, hash_phone, required_key
from ingest.storage.connections import Connection
from ingest.storage.errors import SettingError
from ingest.storage.settings import Settings

_PROOFS = """
    select shop_id, phone_hash, key_check, shop_customer_id, erased_at, erased_by
    from regulars.erasures
    where %(shop_ids)s::uuid[] is null or shop_id = any(%(shop_ids)s)
    order by erased_at
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """That a customer was erased: when, and by whom."""

    customer_id: UUID
    erased_at: datetime
    erased_by: str


class Proofs:
    """The proofs of some shops. They say whether an order belongs to an erased person.

    The key is read from the settings only when a proof needs it: without erasures, no key has to be set.
    """

    def __init__(self, proofs: dict[tuple[UUID, bytes], list[Proof]], key_checks: set[bytes]) -> None:
        self._proofs = proofs
        self._key_checks = key_checks
        self._key: SecretStr | None = None
        self._last: dict[UUID, datetime] = {}
        for (shop_id, _), of_one in proofs.items():
            self._last[shop_id] = max(self._last.get(shop_id, of_one[-1].erased_at), of_one[-1].erased_at)

    @classmethod
    def read(cls, connection: Connection, *, shop_ids: Iterable[UUID] | None = None) -> "Proofs":
        """The proofs of `shop_ids`, or of every shop if it is None."""
        proofs: dict[tuple[UUID, bytes], list[Proof]] = {}
        key_checks: set[bytes] = set()
        only = None if shop_ids is None else list(set(shop_ids))
        for shop_id, phone_hash, key_check, *rest in connection.execute(_PROOFS, {"shop_ids": only}):
            proofs.setdefault((shop_id, bytes(phone_hash)), []).append(Proof(*rest))
            key_checks.add(bytes(key_check))
        return cls(proofs, key_checks)

    def __bool__(self) -> bool:
        return bool(self._proofs)

    def customer_of(self, *, shop_id: UUID, e164: str | None, ordered_at: datetime | None) -> UUID | None:
        """The erased customer to whom this order belongs; None if it belongs to no erased person.

        An order without a time counts as old. Raises SettingError if the key is needed and is missing or wrong.
        """
        last = self._last.get(shop_id)
        if last is None or e164 is None or (ordered_at is not None and ordered_at > last):
            return None
        for proof in self._proofs.get((shop_id, self._hash_of(shop_id=shop_id, e164=e164)), []):
            if ordered_at is None or ordered_at <= proof.erased_at:
                return proof.customer_id
        return None

    def require_same_key(self, key: SecretStr) -> None:
        """Raises SettingError if the proofs were made with another key: it would recognise nobody."""
        if self._key_checks - {check_of(key)}:
            raise SettingError(
                "REGULARS_ERASURE_KEY is not the one that earlier erasures were made with: set that one again."
            )

    def last_of(self, *, shop_id: UUID, phone_hash: bytes) -> Proof | None:
        """The latest erasure of this phone."""
        of_one = self._proofs.get((shop_id, phone_hash))
        return of_one[-1] if of_one else None

    def last_at(self, *, shop_id: UUID, e164: str, key: SecretStr) -> datetime | None:
        """When this phone was last erased; None also if the proofs were made with another key."""
        last = self.last_of(shop_id=shop_id, phone_hash=hash_phone(key, shop_id=shop_id, e164=e164))
        return last.erased_at if last else None

    def _hash_of(self, *, shop_id: UUID, e164: str) -> bytes:
        if self._key is None:
            key = required_key(Settings.from_environment())
            self.require_same_key(key)
            self._key = key
        return hash_phone(self._key, shop_id=shop_id, e164=e164)
