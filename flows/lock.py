"""Locks: the refresh's own, which keeps two from running at once, and those that others hold and it waits for."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from flows.errors import Blocked, RefreshRunning
from ingest.storage.connections import Connection, connect

_LOCK = 0x5265_6672_6573  # "Refres"

# How many seconds a refresh waits for a lock that somebody else holds.
PATIENCE = 60.0

# Readers queue behind whoever waits to change what they read: no longer than they would notice.
_GLANCE = "200ms"


@contextmanager
def refresh_lock(conninfo: str, *, patience: float = PATIENCE) -> Iterator[Connection]:
    """Yields the connection that holds the lock; the server lets go of it when the process dies, however it dies.

    Its statements wait `patience` seconds for other locks and no longer. Raises RefreshRunning at once where another
    holds this one.
    """
    with connect(conninfo, application="regulars-refresh") as connection:
        row = connection.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
        if row != (True,):
            raise RefreshRunning("A refresh is running already; `regulars status` tells since when.")
        try:
            # Of the session, which is this refresh's own: it holds the lock.
            connection.execute("select set_config('lock_timeout', %s, false)", [f"{round(patience * 1000)}ms"])
            yield connection
        finally:
            # The server hears of a connection's end a moment later: whoever comes at once would find it locked still.
            with suppress(psycopg.OperationalError):
                connection.execute("select pg_advisory_unlock(%s)", [_LOCK])


def patiently(connection: Connection, change: Callable[[], None], *, relation: str, patience: float) -> None:
    """Runs a short `change` of a relation, by its whole name, in a transaction of its own until it gets its locks.

    It waits for none of them as long as a reader who queues behind it would notice, and tries for `patience` seconds.
    Raises Blocked, with the name of whoever was in the way.
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
            # Not in step with a reader who comes at regular times.
            time.sleep(random.uniform(0.1, 0.3))  # noqa: S311
        else:
            return


def blocked(connection: Connection, told: str, relation: str | None = None) -> Blocked:
    """What to raise when a lock was not to be had: `told`, and who is in the way, if they are still there.

    Of a relation, whoever holds it in any way; otherwise, whoever keeps others out of anything that a refresh uses.
    """
    # The view that shows a model to owners is read before the model, and locked with it.
    names = [relation, relation.replace("analytics.", "dashboard.")] if relation else []
    holders = [
        holder
        for (holder,) in connection.execute(
            "select regulars.lock_holders((select array_agg(to_regclass(name)::oid) from unnest(%s::text[]) as name))",
            [names],
        )
    ]
    who = f" In the way: {'; '.join(holders)}." if holders else ""
    return Blocked(f"{told}{who} Let it end, or end it, and run the refresh again.")
