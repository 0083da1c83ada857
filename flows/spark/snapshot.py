"""Several connections that see the same moment."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from flows.lock import BUILDING, PATIENCE
from flows.spark.transactions import set_for_long
from ingest.storage.connections import Connection, connect


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`as_of` (UTC): everything committed before it is seen. `holder` exported it; `readers` share it."""

    as_of: datetime
    holder: Connection
    readers: tuple[Connection, ...]


@contextmanager
def open_snapshot(conninfo: str, *, readers: int, patience: float = PATIENCE) -> Iterator[Snapshot]:
    """Read-only transactions of one moment, which end with the block. If it is killed, the next refresh ends them.

    `patience`: how many seconds each statement waits for a lock.
    """
    with ExitStack() as stack:
        holder = stack.enter_context(connect(conninfo, application=BUILDING))
        # Before the snapshot, which also sees what commits in between.
        (as_of,) = holder.execute("select clock_timestamp()").fetchone() or (None,)
        stack.enter_context(_transaction(holder, None, patience=patience))
        (name,) = holder.execute("select pg_export_snapshot()").fetchone() or ("",)
        connections = []
        for _ in range(readers):
            reader = stack.enter_context(connect(conninfo, application=BUILDING))
            stack.enter_context(_transaction(reader, name, patience=patience))
            connections.append(reader)
        yield Snapshot(as_of, holder, tuple(connections))


@contextmanager
def _transaction(connection: Connection, snapshot: str | None, *, patience: float) -> Iterator[None]:
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        if snapshot is not None:
            connection.execute(sql.SQL("set transaction snapshot {}").format(snapshot))
        set_for_long(connection, patience=patience)
        yield
