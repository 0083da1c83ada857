"""The wall's roles: made and granted by functions of the schema, which can be run again at any time."""

from ingest.storage.connections import Connection

ROLES = ("regulars_checkout", "regulars_owner", "regulars_analyst")


def grant_roles(connection: Connection) -> list[str]:
    """Makes the group roles and grants them what they may; returns the SQL that somebody with the right must run.

    With roles made by somebody else, calling it again completes the wall. `connection` is in autocommit.
    """
    left = [statement for (statement,) in connection.execute("select regulars.grant_roles()")]
    connection.execute("select regulars.revoke_from_strangers()")
    return left


def missing_roles(connection: Connection) -> list[str]:
    """The group roles that this server doesn't have."""
    standing = {
        name for (name,) in connection.execute("select rolname from pg_roles where rolname = any(%s)", [[*ROLES]])
    }
    return [role for role in ROLES if role not in standing]
