"""The spool: a file in which events wait that could not be written to the database.

It is a SQLite file, safe for several processes, which any SQLite tool can read. It holds phones, so only its owner may
read it.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from weakref import WeakSet

from ingest.spool.file_lock import FileLock
from ingest.spool.fork_gate import ForkGate
from ingest.storage.errors import RegularsError

log = logging.getLogger("regulars.ingest")

Kind = Literal["checkout", "visit"]

Batch = tuple[Kind, Sequence[str]]
"""Events of one kind, each as JSON."""

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

_DUE = "alter table events add column due_at real not null default 0"
"""The time, in seconds since 1970, before which an event is not tried again."""

_DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_LONGEST_WAIT = 60.0  # seconds between two tries of an event


class SpoolRefused(RegularsError):
    """The spool can't take an event: its disk is full or read-only, or it holds its maximum of events."""


class SpoolDamaged(SpoolRefused):
    """The file is not a SQLite database, or a corrupt one."""

    def __init__(self, message: str, *, inode: int) -> None:
        super().__init__(message)
        self.inode = inode


@dataclass(frozen=True, slots=True)
class Spooled:
    """A spooled event. `set_aside_because` says why it is not tried any more."""

    event_id: int
    kind: Kind
    event: str
    spooled_at: datetime
    tries: int
    set_aside_because: str | None


class Spool:
    """Opens the file for each call: it may be moved away at any time, and a killed process leaves nothing behind.

    A writer takes a lock of ours first: SQLite's own lock polls, is unfair, and has no deadline.
    """

    def __init__(self, path: Path, *, most_events: int = 200_000) -> None:
        self.path = path
        self._most_events = most_events
        self._write_lock = FileLock(path.with_name(f"{path.name}.write-lock"))
        self._replay_lock = FileLock(path.with_name(f"{path.name}.replay-lock"))
        self._held_open: sqlite3.Connection | None = None
        _spools.add(self)

    def prepare(self) -> None:
        """Creates the file, so that the first event waits for one write and not for three. Raises SpoolRefused."""
        self.add_batches(list)

    def add(self, kind: Kind, event: str) -> None:
        """Adds an event, which is on the disk when this returns. Raises SpoolRefused."""
        if self.add_batches(lambda: [(kind, [event])]) == [0]:
            raise SpoolRefused(self.full_message)

    def add_batches(self, take: Callable[[], Sequence[Batch]]) -> list[int]:
        """Adds events in order; they are on the disk when this returns, after waiting for it once.

        Returns how many events of each batch were added, counted from its first: fewer than all if the spool is full.
        `take` is called when it is our turn to write, so that batches that came in the meantime are included. A damaged
        file is set aside, and a new one is begun. Raises SpoolRefused, and has added none then.
        """
        taken: list[Batch] | None = None

        def insert() -> list[int]:
            nonlocal taken
            with self._writing() as connection:
                if taken is None:
                    taken = list(take())
                return self._insert(connection, taken)

        try:
            return insert()
        except SpoolDamaged as damage:
            self.set_aside(damage)
            return insert()

    @property
    def full_message(self) -> str:
        """What is said of an event for which there is no room."""
        return f"{self.path} holds {self._most_events:,} events, which is its maximum."

    def keep_open(self) -> None:
        """Keeps the file open between calls: whenever nobody has it open, SQLite empties its log, which costs time."""
        if self._held_open is not None:
            return
        # If it can't be opened, the calls that follow raise that error.
        with suppress(sqlite3.Error), _gate.passed():
            # Not created here. Any thread may close it, because any may fork.
            where = f"{self.path.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(where, uri=True, check_same_thread=False)
            try:
                connection.execute("select 1 from events limit 1").fetchall()
                self._held_open = connection
            finally:
                if self._held_open is None:
                    connection.close()

    def let_close(self) -> None:
        """Undoes `keep_open`."""
        with _gate.passed():
            self.close_before_fork()

    def close_before_fork(self) -> None:
        """`let_close` for a caller that has shut the gate."""
        connection, self._held_open = self._held_open, None
        if connection is not None:
            connection.close()

    def waiting(self, *, after: int = 0, limit: int = 1000, due_by: float | None = None) -> list[Spooled]:
        """The events after this number that are still to be tried, the oldest first; with `due_by` (in seconds since
        1970), only those that are due by then."""
        return self._select(
            "where set_aside_because is null and event_id > ? and due_at <= ? order by event_id limit ?",
            after, 1e12 if due_by is None else due_by, limit,
        )  # fmt: skip

    def everything(self, *, after: int = 0, limit: int = 1000) -> list[Spooled]:
        """All events after this number, the oldest first, including those that were set aside."""
        return self._select("where event_id > ? order by event_id limit ?", after, limit)

    def count(self) -> int:
        """How many events are still to be tried."""
        if not self.path.exists():
            return 0
        with self._open() as connection:
            (count,) = connection.execute("select count(*) from events where set_aside_because is null").fetchone()
        return int(count)

    def next_due(self) -> float | None:
        """When the next event is to be tried, in seconds since 1970; None if no event waits."""
        if not self.path.exists():
            return None
        with self._open() as connection:
            (due,) = connection.execute("select min(due_at) from events where set_aside_because is null").fetchone()
        return None if due is None else float(due)

    def remove(self, event_id: int) -> bool:
        """Deletes an event; returns False if there is none with this number."""
        with self._writing() as connection:
            return connection.execute("delete from events where event_id = ?", [event_id]).rowcount == 1

    def settle(self, *, written: Collection[int], later: Collection[int], hopeless: Mapping[int, str]) -> None:
        """Records the result of a replay, by the events' numbers.

        `written` events are deleted, `later` ones are tried again with a backoff, `hopeless` ones are set aside with
        the reason, so that they hold up no others.
        """
        if not (written or later or hopeless):
            return
        now = time.time()
        with self._writing() as connection:
            connection.executemany("delete from events where event_id = ?", [(number,) for number in written])
            connection.executemany(
                "update events set tries = tries + 1, due_at = ? + min(1 << min(tries, 16), ?) where event_id = ?",
                [(now, _LONGEST_WAIT, number) for number in later],
            )
            connection.executemany(
                "update events set tries = tries + 1, set_aside_because = ? where event_id = ?",
                [(because, number) for number, because in hopeless.items()],
            )

    @contextmanager
    def replaying(self, *, timeout: float) -> Iterator[bool]:
        """Yields whether it is our turn to replay. One process has it at a time; a killed process loses it."""
        with self._errors_as_refusal():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._replay_lock.held(timeout=timeout) as is_ours:
                yield is_ours

    def rewrite(self, events: dict[int, str | None]) -> None:
        """Replaces the texts of these events, and deletes events whose new text is None. No old text is left in the
        file, nor any of an event that was deleted before.

        Raises SpoolRefused, also if there is a damaged spool that was set aside: its events can't be read.
        """
        if self.path.exists():
            with self._locked():
                self._rewrite(events)
        if damaged := self.set_aside_files():
            raise SpoolRefused(
                f"{', '.join(map(str, damaged))} can't be read and may hold the same person: recover what is in it, "
                "delete it, and run it again."
            )

    def set_aside(self, damage: SpoolDamaged) -> None:
        """Renames the damaged file, unless another process has done so. Raises SpoolRefused."""
        self.let_close()
        aside = self.path.with_name(f"{self.path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        with self._locked():
            if not self.path.exists() or self.path.stat().st_ino != damage.inode:
                return
            self.path.rename(aside)
            for end in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + end).rename(aside.with_name(aside.name + end))
        log.error(
            "the spool was damaged and a new one is begun; save what you can of the old one, %s: sqlite3 %s .recover",
            aside, aside,
        )  # fmt: skip

    def set_aside_files(self) -> list[Path]:
        """The damaged spools that were set aside, the oldest first."""
        found = self.path.parent.glob(f"{self.path.name}.damaged-*")
        return sorted(path for path in found if not path.name.endswith(("-wal", "-shm")))

    def _insert(self, connection: sqlite3.Connection, batches: Sequence[Batch]) -> list[int]:
        room = self._room(connection, sum(len(events) for _, events in batches))
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        added = []
        for kind, events in batches:
            added.append(min(room, len(events)))
            room -= added[-1]
            connection.executemany(
                "insert into events (kind, event, spooled_at) values (?, ?, ?)",
                [(kind, event, at) for event in events[: added[-1]]],
            )
        return added

    def _room(self, connection: sqlite3.Connection, wanted: int) -> int:
        # Counting reads the whole file. The first and last number show in most cases that there is room.
        (span,) = connection.execute(
            "select coalesce((select max(event_id) from events) - (select min(event_id) from events) + 1, 0)"
        ).fetchone()
        if span + wanted <= self._most_events:
            return wanted
        (count,) = connection.execute("select count(*) from events").fetchone()
        return max(0, min(wanted, self._most_events - int(count)))

    def _rewrite(self, events: dict[int, str | None]) -> None:
        with self._open(is_locked=True) as connection:
            for event_id, event in events.items():
                if event is None:
                    connection.execute("delete from events where event_id = ?", [event_id])
                else:
                    connection.execute("update events set event = ? where event_id = ?", [event, event_id])
        with self._open(is_locked=True) as connection:
            connection.execute("vacuum")
            (is_busy, *_) = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
        if is_busy:
            raise SpoolRefused(f"{self.path} is being read, so the old texts are still in it: run it again.")

    def _select(self, clause: str, *parameters: float) -> list[Spooled]:
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
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction of the only writer; it is on the disk when this ends."""
        with self._locked(), self._open(is_locked=True) as connection:
            connection.execute("begin immediate")
            yield connection

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._errors_as_refusal():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._write_lock.held():
                yield

    @contextmanager
    def _open(self, *, is_locked: bool = False) -> Iterator[sqlite3.Connection]:
        with self._errors_as_refusal(), _gate.passed():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # An existing file is not opened: closing it would free the locks that SQLite holds for this process.
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            inode = self.path.stat().st_ino
            try:
                with closing(sqlite3.connect(self.path, timeout=5)) as connection:
                    connection.execute("pragma synchronous = full")
                    if connection.execute("pragma user_version").fetchone() == (0,):
                        with nullcontext() if is_locked else self._write_lock.held():
                            _bring_up_to_date(connection)
                    with connection:
                        yield connection
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE_CODES:
                    raise SpoolDamaged(f"{self.path} is damaged: {error}.", inode=inode) from None
                raise

    @contextmanager
    def _errors_as_refusal(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise SpoolRefused(f"{self.path} can't be written: {error}.") from None


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Creates the table, or adds what an older version lacks."""
    connection.execute("pragma journal_mode = wal")
    connection.execute("begin immediate")
    connection.execute(_SCHEMA)
    if not any(name == "due_at" for _, name, *_ in connection.execute("pragma table_info(events)")):
        connection.execute(_DUE)
    connection.execute("pragma user_version = 1")
    connection.commit()


_spools: WeakSet[Spool] = WeakSet()


def _let_all_close() -> None:
    for spool in _spools:
        spool.close_before_fork()


_gate = ForkGate(before_fork=_let_all_close)
