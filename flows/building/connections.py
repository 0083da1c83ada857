"""dbt's connections, kept from one model or test to the next: by itself, dbt opens a connection for each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from dbt.adapters.contracts.connection import ConnectionState
from dbt.adapters.postgres.connections import PostgresConnectionManager
from dbt.adapters.postgres.impl import PostgresAdapter

from flows.lock import BUILDING


class KeptConnections(PostgresConnectionManager):  # type: ignore[misc]
    """One connection for each of dbt's threads, which dbt closes at the end of a build.

    Opening one costs the server a process, and over a network some round trips and a password's hashing.
    """

    _statements: ClassVar[list[tuple[str, str]]] = []

    @classmethod
    def open(cls, connection: Any) -> Any:
        """Names the connection, so that the next refresh finds it if this one is killed; not in `regulars dbt`."""
        connection.credentials.application_name = BUILDING
        return super().open(connection)

    @classmethod
    @contextmanager
    def recording(cls) -> Iterator[list[tuple[str, str]]]:
        """Collects what dbt runs: every statement with the name of its connection, which is the id of its node."""
        cls._statements = []
        try:
            yield cls._statements
        finally:
            # So that a process that lives on doesn't keep them.
            cls._statements = []

    def add_query(self, sql: str, *arguments: Any, **options: Any) -> Any:
        """Runs a statement, as dbt does, and records it."""
        self._statements.append((self.get_thread_connection().name, sql))
        return super().add_query(sql, *arguments, **options)

    def release(self) -> None:
        """Ends what a model or test left open, as dbt does after each; a connection that was lost is opened again."""
        connection = self.get_if_exists()
        if connection is None or connection.state != ConnectionState.OPEN:
            return
        self._rollback_handle(connection)
        connection.transaction_open = False
        if connection.handle.closed:
            self.close(connection)


def keep_connections() -> None:
    """Makes every dbt build of this process keep its connections."""
    PostgresAdapter.ConnectionManager = KeptConnections
