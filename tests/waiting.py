"""Waiting for what happens elsewhere: in another process, thread or session."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ingest.storage.connections import Connection


def wait_until(condition: Callable[[], object], *, seconds: float = 120) -> None:
    """Returns once the condition holds. The seconds only end a test that would wait for ever."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it has not happened for {seconds:.0f} s"
        time.sleep(0.02)


def wait_until_alone(connection: Connection) -> None:
    """Returns once no other client has a session in the database: one may end a moment after its client."""
    query = """
        select 1 from pg_stat_activity
        where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
    """
    wait_until(lambda: not connection.execute(query).fetchall())


def wait_past_midnight(zones: Iterable[ZoneInfo], *, within: timedelta = timedelta(minutes=1)) -> None:
    """Returns when no zone's day ends within the time: what follows then begins and ends on the same days."""
    zones = list(zones)
    wait_until(lambda: all((now := datetime.now(zone)).date() == (now + within).date() for zone in zones))
