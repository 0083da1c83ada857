"""The group roles of checkouts, owners and analysts. Functions of the schema make and grant them, at any time again."""

from ingest.storage.connections import Connection

ROLES = ("regulars_checkout", "regulars_owner", "regulars_analyst")


def grant_roles(connection: Connection) -> list[str]:
    """Creates the group roles and grants them their privileges; returns the SQL that a more privileged user must run.

    Idempotent: once that user has created the roles, call it again to grant the rest. `connection` is in autocommit.
    """
    to_run = [statement for (statement,) in connection.execute("select regulars.grant_roles()")]
    connection.execute("select regulars.let_owners_end_tokens()")
    connection.execute("select regulars.let_checkout_read_figures()")
    connection.execute("select regulars.revoke_from_strangers()")
    return to_run


def missing_roles(connection: Connection) -> list[str]:
    """The group roles that don't exist on this server."""
    existing = {
        name for (name,) in connection.execute("select rolname from pg_roles where rolname = any(%s)", [[*ROLES]])
    }
    return [role for role in ROLES if role not in existing]
