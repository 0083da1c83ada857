"""The wall's roles: made and granted by functions of the schema, which can be run again at any time."""

from ingest.database import Connection


def raise_wall(connection: Connection) -> list[str]:
    """Makes the group roles and grants them what they may; answers the SQL that somebody with the right must run.

    With roles made by somebody else, calling it again completes the wall. `connection` is in autocommit.
    """
    return [statement for (statement,) in connection.execute("select regulars.raise_wall()")]
