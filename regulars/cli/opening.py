"""How a command opens the database."""

from ingest.storage.connections import Connection, connect, conninfo
from ingest.storage.migrations import require_schema
from ingest.storage.settings import Settings


def open_database(settings: Settings, *, must_be_migrated: bool = True, application: str = "regulars") -> Connection:
    """A connection to the settings' database; as a context manager it closes itself.

    `must_be_migrated=False` is for the commands that have something to do or to say without Regulars' schema.
    Raises DatabaseError, which says what to run, when there is no database or its schema isn't up to date.
    """
    connection = connect(conninfo(settings), application=application)
    if must_be_migrated:
        try:
            require_schema(connection)
        except BaseException:
            connection.close()
            raise
    return connection
