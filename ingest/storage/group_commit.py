"""Group commit: many transactions of one session wait for the server's disk once."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from ingest.storage.connections import Connection

# A commit waits only where its transaction wrote something, which a message to nobody does.
WAIT_FOR_THE_DISK = "reset synchronous_commit; select pg_logical_emit_message(true, 'regulars', '')"


@contextmanager
def group_commit(connection: Connection) -> Iterator[None]:
    """What is committed inside is on the server's disk when this ends; `connection` is in autocommit.

    Each statement is a transaction of its own, so no lock is held from one to the next. After an exception nobody
    knows which of them are on the disk.
    """
    connection.execute("set synchronous_commit = off")
    try:
        yield
        connection.execute(WAIT_FOR_THE_DISK)
    except BaseException:
        with suppress(psycopg.Error):
            connection.execute("reset synchronous_commit")
        raise
