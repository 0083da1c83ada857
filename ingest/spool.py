"""The spool: what could not be written to the database waits in a file, in order, until it can.

SQLite, with an fsync for each event, safe for several processes, and readable by a person with any SQLite tool. The
file holds phones: it is readable by its owner alone.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ingest.errors import RegularsError

Kind = Literal["checkout", "visit"]

_IDENTITY = ("phone", "email", "customer_name")

SPOOL = "spool.db"
"""The file's name, in the settings' home."""

_SCHEMA = """
    create table if not exists events (
        event_id integer primary key autoincrement,
        kind text not null,
        event text not null,
        spooled_at text not null,
        tries integer not null default 0,
        set_aside_because text
    )
"""


class SpoolRefused(RegularsError):
    """The spool can't take an event: its disk is full or read-only, or it holds as many as it may."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """An event that waits. `set_aside_because` says why it is not tried any more."""

    event_id: int
    kind: Kind
    event: str
    spooled_at: datetime
    tries: int
    set_aside_because: str | None


class Spool:
    """Opens the file for each call and holds nothing in between: a process that is killed leaves nothing behind."""

    def __init__(self, path: Path, *, most_events: int = 200_000) -> None:
        self.path = path
        self._most_events = most_events

    def prepare(self) -> None:
        """Makes the file, so that the first event that needs it waits for one write and not for three. Raises
        SpoolRefused."""
        with self._open():
            pass

    def add(self, kind: Kind, event: str) -> None:
        """Keeps an event, on the disk when this returns. Raises SpoolRefused."""
        if self.add_many(kind, [event]) == 0:
            raise SpoolRefused(f"{self.path} holds {self._most_events:,} events, as many as it may.")

    def add_many(self, kind: Kind, events: Sequence[str]) -> int:
        """Keeps events in their order, on the disk when this returns, which is waited for once. Answers how many of
        the first: less than all where it is full. Raises SpoolRefused, and has kept none then."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._open() as connection:
            connection.execute("begin immediate")
            kept = events[: self._room(connection, len(events))]
            connection.executemany(
                "insert into events (kind, event, spooled_at) values (?, ?, ?)", [(kind, event, at) for event in kept]
            )
        return len(kept)

    def _room(self, connection: sqlite3.Connection, wanted: int) -> int:
        # Counting reads the whole file: the numbers alone tell in most cases that there is room.
        (span,) = connection.execute(
            "select coalesce((select max(event_id) from events) - (select min(event_id) from events) + 1, 0)"
        ).fetchone()
        if span + wanted <= self._most_events:
            return wanted
        (count,) = connection.execute("select count(*) from events").fetchone()
        return max(0, self._most_events - int(count))

    def waiting(self, *, after: int = 0, limit: int = 1000) -> list[Spooled]:
        """The oldest events after this number that are still tried, in the order in which they came."""
        return self._select("where set_aside_because is null and event_id > ? order by event_id limit ?", after, limit)

    def everything(self, *, after: int = 0, limit: int = 1000) -> list[Spooled]:
        """Also what was set aside."""
        return self._select("where event_id > ? order by event_id limit ?", after, limit)

    def count(self) -> int:
        """How many events are still tried."""
        if not self.path.exists():
            return 0
        with self._open() as connection:
            (count,) = connection.execute("select count(*) from events where set_aside_because is null").fetchone()
        return int(count)

    def remove(self, event_id: int) -> bool:
        """Forgets an event; False where there is none of this number."""
        with self._open() as connection:
            return connection.execute("delete from events where event_id = ?", [event_id]).rowcount == 1

    def note_try(self, event_id: int, *, because: str | None = None) -> None:
        """Counts a try that failed; with `because`, sets the event aside, so that it stops nobody else."""
        with self._open() as connection:
            connection.execute(
                "update events set tries = tries + 1, set_aside_because = ? where event_id = ?", [because, event_id]
            )

    def rewrite(self, events: dict[int, str | None]) -> None:
        """Puts other texts in the place of these events', and forgets those without one. Nothing of what stood there,
        or of any event that was forgotten before, is left in the file. Raises SpoolRefused."""
        if not self.path.exists():
            return
        with self._open() as connection:
            for event_id, event in events.items():
                if event is None:
                    connection.execute("delete from events where event_id = ?", [event_id])
                else:
                    connection.execute("update events set event = ? where event_id = ?", [event, event_id])
        with self._open() as connection:
            connection.execute("vacuum")
            (is_busy, *_) = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
        if is_busy:
            raise SpoolRefused(f"{self.path} is being read; what was taken out of it is not gone. Run it again.")

    def _select(self, clause: str, *parameters: int) -> list[Spooled]:
        if not self.path.exists():
            return []
        columns = "event_id, kind, event, spooled_at, tries, set_aside_because"
        with self._open() as connection:
            rows = connection.execute(f"select {columns} from events {clause}", parameters).fetchall()  # noqa: S608
        return [
            Spooled(event_id, kind, event, datetime.fromisoformat(at), tries, because)
            for event_id, kind, event, at, tries, because in rows
        ]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            with closing(sqlite3.connect(self.path, timeout=5)) as connection:
                connection.execute("pragma journal_mode = wal")
                connection.execute("pragma synchronous = full")
                connection.execute(_SCHEMA)
                with connection:
                    yield connection
        except (sqlite3.Error, OSError) as error:
            raise SpoolRefused(f"{self.path} can't be written: {error}.") from None


def without_identity(event: str) -> str | None:
    """The event's text without what is a person's: its order still counts. None where it is no event at all."""
    try:
        facts = json.loads(event)
    except ValueError:
        return None
    return json.dumps({name: fact for name, fact in facts.items() if name not in _IDENTITY})
