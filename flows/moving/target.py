"""Checks the target of a move before anything is copied."""

from psycopg import sql

from flows.moving.errors import MoveRefused
from ingest.storage.connections import Connection
from ingest.storage.roles import ROLES

# Who has rights on something in this database, by a grant or a policy. Owners don't count: all will be the target's
# user's.
_ROLES_WITH_RIGHTS = """
    select distinct roles.rolname
    from pg_shdepend as needed
    inner join pg_roles as roles on needed.refobjid = roles.oid
    where
        needed.refclassid = 'pg_authid'::regclass
        and needed.dbid = (select oid from pg_database where datname = current_database())
        and (needed.deptype in ('a', 'r') or needed.classid = 'pg_default_acl'::regclass)
        and roles.rolname not like 'pg\\_%'
    order by roles.rolname
"""

_NAMES = """
    select namespace.nspname, class.relname
    from pg_namespace as namespace
    left join pg_class as class
        on namespace.oid = class.relnamespace and class.relkind in ('r', 'v', 'm', 'p', 'f', 'S')
    where
        namespace.nspname <> 'information_schema'
        and namespace.nspname not like 'pg\\_%'
        and not exists (
            select 1
            from pg_depend as part
            where
                part.deptype = 'e'
                and part.objid = coalesce(class.oid, namespace.oid)
                and part.classid = case when class.oid is null then 'pg_namespace' else 'pg_class' end::regclass
        )
"""

_FACTS = """
    select
        pg_is_in_recovery() or current_setting('transaction_read_only')::boolean,
        has_database_privilege(current_database(), 'create') and has_schema_privilege('public', 'create'),
        (select rolsuper or rolcreaterole from pg_roles where rolname = current_user)
"""

_MEMBERS = """
    select role.rolname, member.rolname
    from pg_auth_members as membership
    inner join pg_roles as role on membership.roleid = role.oid
    inner join pg_roles as member on membership.member = member.oid
    where role.rolname = any(%s) and not member.rolsuper and member.rolname <> session_user
    order by role.rolname, member.rolname
"""


def missing_roles(source: Connection, target: Connection) -> list[str]:
    """Those of our roles that the target lacks and its user may create.

    Raises MoveRefused, which says what somebody must do first, if the target holds any of what is to be moved, can't be
    written to, or lacks a role that has rights on the source.
    """
    where = f"The database {target.info.dbname} on the target"
    is_read_only, may_create, may_create_roles = target.execute(_FACTS).fetchone() or (True, False, False)
    if is_read_only:
        raise MoveRefused(f"{where} is read-only: is it a replica?")
    _refuse_data(source, target, where)
    if not may_create:
        raise MoveRefused(
            f"{where} can't be moved into by the user {target.info.user}, who may not create schemas, or tables in "
            "schema public: use the database's owner."
        )
    return _missing_roles(source, target, may_create_roles=may_create_roles)


def _refuse_data(source: Connection, target: Connection, where: str) -> None:
    wanted, found = source.execute(_NAMES).fetchall(), target.execute(_NAMES).fetchall()
    schemas = {schema for schema, _ in wanted} - {"public"}
    taken = {schema for schema, _ in found if schema in schemas} | {
        f"{schema}.{name}" for schema, name in set(wanted) & set(found) if schema == "public" and name is not None
    }
    if taken:
        raise MoveRefused(
            f"{where} holds {', '.join(sorted(taken))} already, and nothing is moved over data: name an empty database."
        )


def _missing_roles(source: Connection, target: Connection, *, may_create_roles: bool) -> list[str]:
    there = {name for (name,) in target.execute("select rolname from pg_roles")}
    needed = {name for (name,) in source.execute(_ROLES_WITH_RIGHTS)}
    missing = [name for name in sorted(needed | set(ROLES)) if name not in there]
    refused = [name for name in missing if name not in ROLES or not may_create_roles]
    if refused:
        statements = " ".join(
            f"{sql.SQL('create role {};').format(sql.Identifier(name)).as_string()}" for name in refused
        )
        raise MoveRefused(
            "These roles have rights on the source and are missing on the target. Create them there, with their "
            f"passwords if they sign in, then run this again: {statements}"
        )
    return missing


def missing_members(source: Connection, target: Connection) -> list[str]:
    """The grants of our roles that the source has and the target lacks, as SQL: no dump holds them."""
    there = set(target.execute(_MEMBERS, [[*ROLES]]).fetchall())
    return [
        sql.SQL("grant {} to {};").format(sql.Identifier(role), sql.Identifier(member)).as_string()
        for role, member in source.execute(_MEMBERS, [[*ROLES]])
        if (role, member) not in there
    ]
