"""Locks: the refresh's own, which prevents two at once, and how it waits for the locks of others."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from flows.errors import Blocked, RefreshRunning
from ingest.storage.connections import Connection, connect

_LOCK = 0x5265_6672_6573  # "Refres"

# How many seconds a refresh waits for somebody else's lock.
PATIENCE = 60.0

# Readers queue behind a statement that waits to change what they read. This is shorter than they would notice.
_GLANCE = "200ms"


@contextmanager
def refresh_lock(conninfo: str, *, patience: float = PATIENCE) -> Iterator[Connection]:
    """Yields the connection that holds the lock; the server releases it when the process dies, however it dies.

    Its statements wait at most `patience` seconds for other locks. Raises RefreshRunning at once if another refresh
    holds the lock.
    """
    with connect(conninfo, application="regulars-refresh") as connection:
        row = connection.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
        if row != (True,):
            raise RefreshRunning("A refresh is running already; `regulars status` shows since when.")
        try:
            # For the whole session: it belongs to this refresh alone.
            connection.execute("select set_config('lock_timeout', %s, false)", [f"{round(patience * 1000)}ms"])
            yield connection
        finally:
            # The server notices a closed connection a moment later; the next refresh may come sooner than that.
            with suppress(psycopg.OperationalError):
                connection.execute("select pg_advisory_unlock(%s)", [_LOCK])


def patiently(connection: Connection, change: Callable[[], None], *, relation: str, patience: float) -> None:
    """Runs a short `change` of a relation (its qualified name) in its own transaction, again until it gets its locks.

    Each wait is shorter than a reader who queues behind it would notice. It tries for `patience` seconds, then raises
    Blocked, which names the holder of the lock.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            with connection.transaction():
                connection.execute("select set_config('lock_timeout', %s, true)", [_GLANCE])
                change()
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise blocked(connection, f"{relation} could not be changed under its readers.", relation) from None
            # Random, so as not to stay in step with a regular reader.
            time.sleep(random.uniform(0.1, 0.3))  # noqa: S311
        else:
            return


def blocked(connection: Connection, message: str, relation: str | None = None) -> Blocked:
    """The error for a lock that could not be obtained: `message`, and who holds it, if they still do.

    With a `relation`, everybody who holds a lock on it; otherwise everybody whose lock on anything that a refresh uses
    keeps others out.
    """
    # The owners' view of a table is read before it, and locked with it.
    names = [relation, relation.replace("analytics.", "dashboard.")] if relation else []
    holders = [
        holder
        for (holder,) in connection.execute(
            "select regulars.lock_holders((select array_agg(to_regclass(name)::oid) from unnest(%s::text[]) as name))",
            [names],
        )
    ]
    who = f" In the way: {'; '.join(holders)}." if holders else ""
    return Blocked(f"{message}{who} Let it end, or end it, and run the refresh again.")
