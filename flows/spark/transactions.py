"""What holds in the transactions that read for Spark and load from it: they take minutes where others take moments."""

from flows.lock import SESSION
from ingest.storage.connections import Connection

_SETTINGS = SESSION | {
    # To count or to fill the largest table may take long.
    "statement_timeout": "60min",
    "idle_in_transaction_session_timeout": "0",
    # A policy that would hide rows raises instead.
    "row_security": "off",
    "jit": "off",
    "timezone": "UTC",
    "datestyle": "ISO",
}


def set_for_long(connection: Connection) -> None:
    """For the transaction that is open, and for it alone."""
    for name, value in _SETTINGS.items():
        connection.execute("select set_config(%s, %s, true)", [name, value])
