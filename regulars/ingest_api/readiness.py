"""What the ingest API needs: a database that answers, and a spool for what the database does not take."""

import time

import psycopg

from ingest.spool.file import Spool, SpoolRefused
from ingest.storage.budget import BudgetedConnection

_SECONDS_TO_CONNECT = 2
_SECONDS_TO_ANSWER = 1


def database_answers(conninfo: str) -> bool:
    """Whether the database answers. Uses a connection of its own, to leave the tracker's to the checkouts."""
    try:
        with BudgetedConnection.connect(
            conninfo, autocommit=True, connect_timeout=_SECONDS_TO_CONNECT, application_name="regulars-ingest-api"
        ) as connection:
            connection.deadline = time.monotonic() + _SECONDS_TO_ANSWER
            connection.execute("select 1")
    except psycopg.Error:
        return False
    return True


def spool_opens(spool: Spool) -> bool:
    """Whether the spool can be read."""
    try:
        spool.count()
    except SpoolRefused:
        return False
    return True
