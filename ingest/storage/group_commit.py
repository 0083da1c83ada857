"""Group commit: many transactions of one session wait for the server's disk only once."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from ingest.storage.connections import Connection

# A commit waits only if its transaction wrote something; a logical message without a reader is the smallest write.
WAIT_FOR_THE_DISK = "reset synchronous_commit; select pg_logical_emit_message(true, 'regulars', '')"


@contextmanager
def group_commit(connection: Connection) -> Iterator[None]:
    """Everything committed in this block is on the server's disk when it ends; `connection` is in autocommit.

    Each statement is a transaction of its own, so no lock is held from one to the next. After an exception it isn't
    known which of them are on the disk.
    """
    connection.execute("set synchronous_commit = off")
    try:
        yield
        connection.execute(WAIT_FOR_THE_DISK)
    except BaseException:
        with suppress(psycopg.Error):
            connection.execute("reset synchronous_commit")
        raise
