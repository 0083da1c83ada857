"""A database of a benchmark's own, on the server that the settings name, dropped when the benchmark ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from ingest.storage.connections import Connection, connect, conninfo
from ingest.storage.migrations import migrate
from ingest.storage.settings import Settings


@contextmanager
def own_database(name: str) -> Iterator[Settings]:
    """Settings for a new, migrated database `name`; one that an earlier run left behind is dropped first."""
    settings = Settings.from_environment()
    admin = conninfo(settings, database="postgres")
    _drop(admin, name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    where = conninfo(settings, database=name)
    try:
        with connect(where) as connection:
            migrate(connection)
        yield settings.model_copy(update={"database_url": where, "prefect_api_url": None})
    finally:
        _drop(admin, name)


def open_database(settings: Settings) -> Connection:
    return connect(conninfo(settings), application="regulars-benchmark")


def _drop(admin: str, name: str) -> None:
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
