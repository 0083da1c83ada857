"""The demo's own database: dropped and created again by each demo, and no other database is ever dropped."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from ingest.storage.connections import connect, conninfo
from ingest.storage.errors import DatabaseError
from ingest.storage.settings import Settings

DATABASE = "regulars_demo"
_COMMENT = "Made by regulars demo, which drops it and makes it anew."
_LOCK = 0x4465_6D6F  # "Demo"


@contextmanager
def new_database(settings: Settings, database: str) -> Iterator[Settings]:
    """Yields settings that name the new, empty database, and keeps other demos from dropping it meanwhile.

    Raises DatabaseError where the database can't be created, or is not a demo's.
    """
    with connect(conninfo(settings, database=None if settings.database_url else "postgres")) as admin:
        if admin.info.dbname == database:
            raise DatabaseError(f"DATABASE_URL names {database}, which the demo drops: name another one.")
        if admin.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone() != (True,):
            raise DatabaseError("Another demo is running on this server: wait until it has ended.")
        found = admin.execute(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = %s", [database]
        ).fetchone()
        if found is not None and found != (_COMMENT,):
            raise DatabaseError(
                f"This server has a database {database} that no demo made, so it stays as it is: rename it, "
                "or set DATABASE_URL to another server."
            )
        name = sql.Identifier(database)
        try:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))
            admin.execute(sql.SQL("create database {} template template0").format(name))
            admin.execute(sql.SQL("comment on database {} is {}").format(name, sql.Literal(_COMMENT)))
        except psycopg.errors.InsufficientPrivilege:
            raise DatabaseError(
                f"The role {admin.info.user} may not create the database {database}: give it CREATEDB, "
                "or unset DATABASE_URL to use the embedded server."
            ) from None
        # A home of its own: dbt parses its project again whenever the database's name changes.
        own = {"database_url": conninfo(settings, database=database), "home": settings.home / "demo"}
        yield settings.model_copy(update=own)
