"""Settings of the transactions that extract for Spark and load from it, which take minutes."""

from flows.lock import PATIENCE, SESSION
from ingest.storage.connections import Connection

_SETTINGS = SESSION | {
    # Counting or filling the largest table may take long.
    "statement_timeout": "60min",
    "idle_in_transaction_session_timeout": "0",
    # A policy that would hide rows raises instead.
    "row_security": "off",
    "jit": "off",
    "timezone": "UTC",
    # Rows are transferred as text.
    "datestyle": "ISO",
    "client_encoding": "UTF8",
}


def set_for_long(connection: Connection, *, patience: float = PATIENCE) -> None:
    """For the transaction that is open, and for it alone. `patience`: how many seconds it waits for a lock."""
    for name, value in (_SETTINGS | {"lock_timeout": f"{round(patience * 1000)}ms"}).items():
        connection.execute("select set_config(%s, %s, true)", [name, value])
