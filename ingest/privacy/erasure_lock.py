"""The lock that keeps an erasure apart from bulk work: a load or a match could bring back what is being erased."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from ingest.storage.connections import Connection
from ingest.storage.errors import RegularsError

_LOCK = 0x5265_6745_7261  # "RegEra"


class ErasureBusy(RegularsError):
    """Orders are being loaded or matched, which could bring back what an erasure removes at the same time."""


def block_erasures(connection: Connection) -> None:
    """Nobody is erased until the current transaction ends. Waits for an erasure that is under way."""
    connection.execute("select pg_advisory_xact_lock_shared(%s)", [_LOCK])


@contextmanager
def no_erasure(connection: Connection) -> Iterator[None]:
    """Nobody is erased inside this block, however many transactions it takes."""
    connection.execute("select pg_advisory_lock_shared(%s)", [_LOCK])
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock_shared(%s)", [_LOCK])


@contextmanager
def erasing(connection: Connection) -> Iterator[None]:
    """The transaction of an erasure. Raises ErasureBusy, and has written nothing then."""
    try:
        with connection.transaction():
            connection.execute("set local lock_timeout = '5s'")
            connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
            yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        raise ErasureBusy(
            "Orders are being loaded, matched or checked out; nothing was erased. Run it again in a moment."
        ) from None
