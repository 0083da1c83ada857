"""Connections that stop waiting in time: the connection itself enforces the budget, without a thread."""

import time
from typing import Any

import psycopg

SESSION = (
    # The server itself ends what it still does for a caller that has gone.
    "-c statement_timeout=2000 -c idle_in_transaction_session_timeout=5000 -c client_connection_check_interval=1000"
)
"""The session options of a connection that serves checkouts."""


class TookTooLong(psycopg.OperationalError):
    """The server did not answer before the deadline."""


class BudgetedConnection(psycopg.Connection[tuple[Any, ...]]):
    """Waits for the server until `deadline` (of time.monotonic) at most; without one, `patience` seconds for each
    answer at most."""

    deadline: float | None = None
    patience: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        deadline = self.deadline
        if deadline is None and self.patience is not None:
            deadline = time.monotonic() + self.patience
        if deadline is None:
            return super().wait(gen, interval, timeout)
        left = deadline - time.monotonic()
        try:
            return super().wait(gen, min(interval, max(left, 0.001)), max(left, 0.001))
        except psycopg.Error:
            if time.monotonic() >= deadline:
                # The server may still commit it. That does no harm: tracking is idempotent.
                self.pgconn.finish()
                raise TookTooLong from None
            raise
