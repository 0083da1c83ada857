"""Locks: the refresh's own, which prevents two at once, and how a refresh waits for the locks of others."""

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

# Readers queue behind a statement that waits to change what they read; so short a wait they don't notice.
_UNNOTICED_WAIT = "200ms"

# How many seconds a refresh waits for another one's lock: longer than the server needs to end a killed refresh's
# session.
_GRACE = 3.0

BUILDING = "regulars-build"
"""The application name of dbt's connections in a refresh."""

# The server asks every second whether the client is still there, during a statement too. The connection to a machine
# that vanished ends after 10 + 3 * 5 seconds. Connections may be idle for long while another one works. They are few
# and sort and hash much, hence their memory.
SESSION = {
    "client_connection_check_interval": "1000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "idle_session_timeout": "0",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
}
"""Settings of every connection of a refresh: a session ends soon after its client, and not before."""


@contextmanager
def refresh_lock(conninfo: str, *, patience: float = PATIENCE) -> Iterator[Connection]:
    """Yields the connection that holds the lock; the server releases it when the process ends, even if it is killed.

    Its statements wait at most `patience` seconds for other locks. Raises RefreshRunning, which says who holds the
    lock, if another refresh holds it and doesn't end within three seconds.
    """
    with connect(conninfo, application="regulars-refresh") as connection:
        set_session(connection, patience=patience)
        _take(connection)
        try:
            _end_left_over(connection)
            yield connection
        finally:
            # The server notices a closed connection a moment later; the next refresh may come sooner than that.
            with suppress(psycopg.OperationalError):
                connection.execute("select pg_advisory_unlock(%s)", [_LOCK])


def set_session(connection: Connection, *, patience: float) -> None:
    """For the whole session, which must belong to a refresh alone. `patience`: how many seconds it waits for a lock."""
    for name, value in (SESSION | {"lock_timeout": f"{round(patience * 1000)}ms"}).items():
        connection.execute("select set_config(%s, %s, false)", [name, value])


def _take(connection: Connection) -> None:
    deadline = time.monotonic() + _GRACE
    while connection.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone() != (True,):
        if time.monotonic() > deadline:
            raise RefreshRunning(f"A refresh is running already: {_holder(connection)}. Let it end.")
        time.sleep(0.1)


def _holder(connection: Connection) -> str:
    """Who holds the lock, since when and at which step, as far as this user may see."""
    row = connection.execute(
        """
        select
            format(
                'database session %%s of %%s, user %%s',
                activity.pid,
                coalesce(host(activity.client_addr), 'this machine'),
                coalesce(activity.usename, 'unknown')
            ),
            activity.backend_start
        from pg_locks as locks
        inner join pg_stat_activity as activity on locks.pid = activity.pid
        where
            locks.locktype = 'advisory'
            and locks.granted
            and locks.database = (select oid from pg_database where datname = current_database())
            and locks.objsubid = 1
            and (locks.classid::bigint << 32) + locks.objid::bigint = %s
        """,
        [_LOCK],
    ).fetchone()
    if row is None:
        return "it ended this very moment; run this again"
    session, since = row
    # The holder's row of the history. It may not be written yet, and the schema may be older than this code.
    with suppress(psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        told = connection.execute(
            """
            select
                format(
                    'process %%s on %%s (%%s), a %%s since %%s UTC%%s',
                    process_id, host, %s::text, mode, to_char(started_at, 'YYYY-MM-DD HH24:MI:SS'),
                    ', at step ' || step || ' since ' || to_char(step_began_at, 'HH24:MI:SS')
                )
            from regulars.refreshes
            where status = 'running' and started_at >= coalesce(%s, started_at) and process_id is not null
            order by refresh_id desc
            limit 1
            """,
            [session, since],
        ).fetchone()
        if told is not None:
            return str(told[0])
    return session if since is None else f"{session}, since {since:%Y-%m-%d %H:%M:%S} UTC"


def _end_left_over(connection: Connection) -> None:
    """Ends dbt's sessions of a refresh that was killed: the holder of the lock is the only refresh.

    By itself the server would end these sessions a second later.
    """
    connection.execute(
        """
        select pg_terminate_backend(pid, 5000)
        from pg_stat_activity
        where datname = current_database() and application_name = %s and usename = current_user
        """,
        [BUILDING],
    )


def patiently(connection: Connection, change: Callable[[], None], *, relation: str, patience: float) -> None:
    """Runs a short `change` of a relation (its qualified name) in its own transaction, and repeats it until it gets
    its locks.

    Each wait is shorter than a reader who queues behind it would notice. After `patience` seconds it raises Blocked,
    which names the holder of the lock.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            with connection.transaction():
                connection.execute("select set_config('lock_timeout', %s, true)", [_UNNOTICED_WAIT])
                change()
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise blocked(connection, f"{relation} could not be changed under its readers.", relation) from None
            # Random, so that it doesn't always meet a regular reader.
            time.sleep(random.uniform(0.1, 0.3))  # noqa: S311
        else:
            return


def blocked(connection: Connection, message: str, relation: str | None = None) -> Blocked:
    """The error for a lock that could not be obtained: `message`, and who still holds it.

    It names everybody who holds a lock on the `relation`; without one, everybody whose lock on anything that a refresh
    uses excludes others.
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
