"""What stops a refresh, and what may be logged of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from ingest.storage.connections import first_line
from ingest.storage.errors import RegularsError


def reason(error: Exception) -> str:
    """What may be logged of an error: the message of one of ours, and only the kind of any other.

    PostgreSQL's own text may hold a phone number.
    """
    return str(error) if isinstance(error, RegularsError) else f"{type(error).__name__}."


def description(error: Exception) -> str:
    """What the history keeps of an error: its kind, and the message of one of ours or the first line of PostgreSQL's.

    PostgreSQL's details and the text of any other error may hold values, such as a phone number; what the system says
    of a file or a disk doesn't.
    """
    kind = type(error).__name__
    if isinstance(error, psycopg.Error):
        return f"{kind}: {first_line(error)}"
    if isinstance(error, OSError) and error.strerror:
        return f"{kind}: {error.strerror}"
    return f"{kind}: {error}" if isinstance(error, RegularsError) else f"{kind}."


@contextmanager
def without_values() -> Iterator[None]:
    """Raises an error of PostgreSQL's with its message alone, without the values of a row in DETAIL and CONTEXT.

    An operational error, such as of a lock or a lost connection, has none, and is raised as it is.
    """
    try:
        yield
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise type(error)(first_line(error)) from None


class RefreshRunning(RegularsError):
    """Another refresh holds the lock."""


class Blocked(RegularsError):
    """Somebody held a lock for longer than a refresh waits; the refresh released its own locks."""


class BuildFailed(RegularsError):
    """A model or one of its tests failed; nothing was published."""


class NotReconciled(RegularsError):
    """A mart's sums differ from those of its source; nothing was published."""


class NotPublished(RegularsError):
    """Somebody else's view or constraint is in the way of the new rows or columns; nothing was published."""


class ExtractFailed(RegularsError):
    """The raw rows could not be written for Spark; nothing was published."""


class LoadFailed(RegularsError):
    """What Spark computed could not be read back; nothing was published."""


class SparkMissing(RegularsError):
    """Spark can't run here: there is no Java for it, or its packages are not installed."""
