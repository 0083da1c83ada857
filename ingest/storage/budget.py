"""Connections that stop waiting in time: the budget is held by the connection, not by a thread."""

import time
from typing import Any

import psycopg

SESSION = (
    # What the server does for a caller that has gone is ended by the server.
    "-c statement_timeout=2000 -c idle_in_transaction_session_timeout=5000 -c client_connection_check_interval=1000"
)
"""The options of a session that serves checkouts."""


class TookTooLong(psycopg.OperationalError):
    """The budget was used up."""


class BudgetedConnection(psycopg.Connection[tuple[Any, ...]]):
    """Waits for the server until `deadline` (of time.monotonic) and not a moment longer; where there is none, for
    each answer as many seconds as its `patience`."""

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
                # What the server still does with it may yet be committed: told again, it counts once.
                self.pgconn.finish()
                raise TookTooLong from None
            raise
