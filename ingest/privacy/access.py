"""An access request: everything that is held about a person, or that they were erased."""

from typing import Any

from pydantic import SecretStr

from ingest.privacy.erasure import Erasures
from ingest.privacy.person import UnknownPerson, find_person, say_unresolved, tell
from ingest.spool.file import Spool
from ingest.storage.connections import Connection


def answer_access(
    connection: Connection, *, shop: str, phone: str, key: SecretStr | None, spool: Spool
) -> dict[str, Any]:
    """What is held, in the database and in this machine's spool; `phone` in any spelling.

    Raises UnknownShop, InputError, SpoolRefused, and UnknownPerson: with the key that the erasures were made with, it
    says when the person was erased.
    """
    person = find_person(connection, shop=shop, phone=phone, spool=spool)
    if not person.is_unknown:
        return tell(connection, person)
    proofs = Erasures.read(connection, shop_ids=[person.shop_id])
    erased_at = proofs.last_at(shop_id=person.shop_id, e164=person.e164, key=key) if key else None
    when = f": it was erased on {erased_at:%Y-%m-%d} (UTC)" if erased_at else ""
    unresolved = say_unresolved([entry.event_id for entry in person.unresolved])
    raise UnknownPerson(f"This shop holds nothing of that phone{when}. {unresolved}".rstrip())
