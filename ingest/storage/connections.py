"""Connections to the server that DATABASE_URL names, or else to the embedded one."""

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ingest.storage.errors import DatabaseError, SettingError
from ingest.storage.settings import Settings

OLDEST_SERVER = 150000

Connection = psycopg.Connection[tuple]  # type: ignore[type-arg]


def conninfo(settings: Settings, *, database: str | None = None) -> str:
    """The connection string, with another `database` if one is given. May start the embedded server.

    Raises SettingError if DATABASE_URL can't be read, and DatabaseError if the embedded server doesn't start.
    """
    if settings.database_url is None:
        from ingest.storage.embedded import embedded_conninfo

        return embedded_conninfo(settings.home, database=database or "regulars")
    try:
        given = conninfo_to_dict(settings.database_url)
    except psycopg.ProgrammingError:
        raise SettingError("DATABASE_URL can't be read; write postgresql://user:password@host:5432/name.") from None
    if database is not None:
        given["dbname"] = database
    given.setdefault("connect_timeout", 10)
    return make_conninfo("", **given)


def connect(conninfo: str, *, application: str = "regulars") -> Connection:
    """An autocommit connection in UTC. Raises DatabaseError, whose message never holds the password."""
    try:
        connection = psycopg.connect(conninfo, autocommit=True, application_name=application)
    except psycopg.OperationalError as error:
        where = conninfo_to_dict(conninfo)
        raise DatabaseError(
            f"No database at {where.get('host', 'localhost')}, name {where.get('dbname', 'unnamed')}: "
            f"{first_line(error)}. Start it, or correct DATABASE_URL."
        ) from None
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.server_version // 10000
        connection.close()
        raise DatabaseError(f"This is PostgreSQL {version}; Regulars needs 15 to 18. Upgrade the server.")
    # Before anything is asked: with some encodings the answers are bytes.
    if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
        name = connection.info.dbname
        connection.close()
        raise DatabaseError(
            f"The database {name} has the encoding {encoding}, and names need UTF8: "
            "create it with `create database … encoding 'UTF8' template template0`."
        )
    connection.execute("set time zone 'UTC'")
    return connection


def first_line(error: psycopg.Error) -> str:
    """The server's message, without the connection string that libpq repeats and without the values in DETAIL."""
    line = (str(error).strip().splitlines() or ["no answer"])[0]
    return re.sub(r"password=\S+", "password=…", line).rstrip(".")
