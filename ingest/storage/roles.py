"""The group roles of checkouts, owners and analysts. Functions of the schema make and grant them, at any time again."""

from typing import LiteralString

from ingest.storage.connections import Connection

ROLES = ("regulars_checkout", "regulars_owner", "regulars_analyst")

GRANTS: tuple[LiteralString, ...] = (
    "select regulars.grant_roles()",
    "select regulars.let_owners_end_tokens()",
    "select regulars.let_checkout_read_figures()",
    "select regulars.revoke_from_strangers()",
)
"""The statements that make the roles and grant them all that they need; what a server's defaults grant others is taken
back. The first returns the SQL that a more privileged user must run."""


def grant_roles(connection: Connection) -> list[str]:
    """Creates the group roles and grants them their privileges; returns the SQL that a more privileged user must run.

    Idempotent: once that user has created the roles, call it again to grant the rest. `connection` is in autocommit.
    """
    create, *grant = GRANTS
    to_run = [statement for (statement,) in connection.execute(create)]
    for statement in grant:
        connection.execute(statement)
    return to_run


def missing_roles(connection: Connection) -> list[str]:
    """The group roles that don't exist on this server."""
    existing = {
        name for (name,) in connection.execute("select rolname from pg_roles where rolname = any(%s)", [[*ROLES]])
    }
    return [role for role in ROLES if role not in existing]
