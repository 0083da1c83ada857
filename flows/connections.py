"""dbt's connections, kept from one model or test to the next: by itself, dbt opens a connection for each."""

from typing import Any

from dbt.adapters.contracts.connection import ConnectionState
from dbt.adapters.postgres.connections import PostgresConnectionManager
from dbt.adapters.postgres.impl import PostgresAdapter

from flows.lock import BUILDING


class KeptConnections(PostgresConnectionManager):  # type: ignore[misc]
    """One connection for each of dbt's threads, which dbt closes at the end of a build.

    Opening one costs the server a process, and over a network some round trips and a password's hashing.
    """

    @classmethod
    def open(cls, connection: Any) -> Any:
        """With a name by which the next refresh finds it, should this one be killed; `regulars dbt` has dbt's own."""
        connection.credentials.application_name = BUILDING
        return super().open(connection)

    def release(self) -> None:
        """Ends what a model or test left open, as dbt does after each; a connection that was lost is opened anew."""
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
