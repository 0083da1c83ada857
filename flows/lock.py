"""Two refreshes can't run at once: an advisory lock, held on a connection of its own for as long as one runs."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from flows.errors import RefreshRunning
from ingest.database import Connection, connect

_LOCK = 0x5265_6672_6573  # "Refres"


@contextmanager
def refresh_lock(conninfo: str) -> Iterator[Connection]:
    """Yields the connection that holds the lock; the server lets go of it when the process dies, however it dies.

    Raises RefreshRunning at once where another holds it.
    """
    with connect(conninfo, application="regulars-refresh") as connection:
        row = connection.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
        if row != (True,):
            raise RefreshRunning("A refresh is running already; `regulars status` tells since when.")
        try:
            yield connection
        finally:
            # The server hears of a connection's end a moment later: whoever comes at once would find it locked still.
            with suppress(psycopg.OperationalError):
                connection.execute("select pg_advisory_unlock(%s)", [_LOCK])
