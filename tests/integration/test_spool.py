"""The spool's file: shared by processes, on a slow disk, and replaced when it is damaged."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from ingest import Checkout, Tracker
from ingest.spool.file import SPOOL, Spool, SpoolDamaged, SpoolRefused
from ingest.spool.writer_thread import WriterThread
from ingest.storage.settings import Settings
from tests.integration.test_command import regulars

pytestmark = pytest.mark.usefixtures("takes_long")

BUDGET = 0.25


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Tracker]:
    """A tracker whose database is down, and which knows it."""
    with Tracker(_down(tmp_path)) as tracker:
        tracker.track(_checkout())
        yield tracker


def _down(home: Path) -> Settings:
    return Settings(DATABASE_URL="host=127.0.0.1 port=1", home=home, track_budget_ms=round(BUDGET * 1000))


def _checkout() -> Checkout:
    return Checkout(shop_id=uuid4(), order_id=uuid4(), phone="0241234567")


_HOLD = """
import sys
from pathlib import Path
from ingest.spool.file import Spool

with Spool(Path(sys.argv[1]))._writing():
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def _held_by_another_process(spool: Spool) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the spool until it is told to go on, or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(spool.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_events_that_arrive_while_another_process_writes_are_one_commit(tracker: Tracker) -> None:
    before = tracker.spool.count()
    with (
        ThreadPoolExecutor(30) as threads,
        _held_by_another_process(tracker.spool) as process,
        closing(sqlite3.connect(tracker.spool.path)) as other,
    ):
        # While another connection is open, SQLite does not empty its log.
        other.execute("select * from events").fetchall()
        commits = _commits(tracker.spool)
        answers = [threads.submit(tracker.track, _checkout()) for _ in range(30)]
        time.sleep(0.1)
        process.communicate("go\n")
        assert {answer.result().outcome for answer in answers} == {"spooled"}
        assert _commits(tracker.spool) == commits + 1
    assert tracker.spool.count() == before + 30


def _commits(spool: Spool) -> int:
    """The number of commits in SQLite's log: the second word of a commit's last frame is not 0."""
    log = spool.path.with_name(f"{spool.path.name}-wal").read_bytes()
    frame = 24 + int.from_bytes(log[8:12], "big")
    return sum(log[at + 4 : at + 8] != bytes(4) for at in range(32, len(log), frame))


def test_a_commit_waits_for_the_disk(tracker: Tracker) -> None:
    with tracker.spool._writing() as connection:
        assert connection.execute("pragma synchronous").fetchone() == (2,)


def test_an_event_is_refused_and_not_written_later_if_the_spool_is_not_free_in_time(tracker: Tracker) -> None:
    with _held_by_another_process(tracker.spool):
        began = time.monotonic()
        answer = tracker.track(_checkout())
        took = time.monotonic() - began
    assert answer.outcome == "refused"
    assert answer.reason is not None
    assert "the event was not spooled" in answer.reason
    assert 1.9 * BUDGET < took < 3 * BUDGET
    assert tracker.track(_checkout()).outcome == "spooled"
    assert tracker.spool.count() == 2


def test_the_lock_of_a_process_that_was_killed_is_free(tracker: Tracker) -> None:
    with _held_by_another_process(tracker.spool) as process, ThreadPoolExecutor() as threads:
        answer = threads.submit(tracker.track, _checkout())
        time.sleep(0.05)
        process.kill()
        assert answer.result().outcome == "spooled"


def test_an_event_that_is_still_being_written_at_its_deadline_may_yet_be_spooled_and_says_so(tracker: Tracker) -> None:
    _make_each_insert_slow(tracker.spool)
    answer = tracker.track(_checkout())
    assert answer.outcome == "refused"
    assert answer.reason is not None
    assert "the event may yet be spooled" in answer.reason
    for _ in range(600):
        if tracker.spool.count() == 2:
            return
        time.sleep(0.1)
    raise AssertionError(tracker.spool.count())


def _make_each_insert_slow(spool: Spool) -> None:
    """A trigger that takes a second or more, in place of a slow disk."""
    with spool._writing() as connection:
        connection.execute(
            """
            create trigger slow before insert on events begin
                select count(*)
                from (
                    with recursive n (i) as (select 1 union all select i + 1 from n where i < 12000000)
                    select i from n
                );
            end
            """
        )


def test_a_closed_writer_has_answered_every_caller_and_starts_again_when_needed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / SPOOL)
    writer = WriterThread(spool)
    with ThreadPoolExecutor(21) as threads, _held_by_another_process(spool) as process:
        added = [threads.submit(writer.add, "visit", ["{}"], deadline=time.monotonic() + 10) for _ in range(20)]
        time.sleep(0.1)
        closing_writer = threads.submit(writer.close)
        time.sleep(0.1)
        process.communicate("go\n")
        closing_writer.result()
        assert [one.result(10) for one in added] == [1] * 20
    assert writer.add("visit", ["{}"], deadline=time.monotonic() + 10) == 1
    assert spool.count() == 21


def test_a_spool_of_an_older_version_is_upgraded_with_its_events(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / SPOOL)) as old:
        old.executescript(
            """
            pragma journal_mode = wal;
            create table events (
                event_id integer primary key autoincrement,
                kind text not null,
                event text not null,
                spooled_at text not null,
                tries integer not null default 0,
                set_aside_because text
            );
            insert into events (kind, event, spooled_at) values ('visit', '{}', '2026-03-14T12:00:00+00:00');
            """
        )
    spool = Spool(tmp_path / SPOOL)
    assert spool.count() == 1
    spool.add("visit", "{}")
    assert len(spool.waiting(due_by=time.time())) == 2


def _damage(spool: Spool, *, keep: int) -> None:
    """Overwrites everything after the first bytes, as a broken disk may."""
    with closing(sqlite3.connect(spool.path)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    size = spool.path.stat().st_size
    with spool.path.open("r+b") as file:
        file.seek(keep)
        file.write(os.urandom(size - keep))


@pytest.mark.parametrize("keep", [0, 100], ids=["from its first byte", "behind its header"])
def test_a_spool_that_is_damaged_in_use_is_set_aside_and_logged_and_a_new_one_is_begun(
    tracker: Tracker, keep: int, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        tracker.track(_checkout())
    _damage(tracker.spool, keep=keep)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: tracker.track(_checkout()), range(40)))
    assert {answer.outcome for answer in answers} == {"spooled"}
    assert tracker.spool.count() == 40
    (aside,) = tracker.spool.set_aside_files()
    (line,) = [record for record in caplog.records if "was damaged" in record.getMessage()]
    assert str(aside) in line.getMessage()
    assert "0241234567" not in caplog.text


def test_a_damaged_spool_that_was_already_set_aside_does_not_cost_the_new_one(tmp_path: Path) -> None:
    (tmp_path / SPOOL).write_bytes(os.urandom(10_000))
    spool = Spool(tmp_path / SPOOL)
    with pytest.raises(SpoolDamaged) as damage:
        spool.count()
    spool.add("visit", "{}")
    spool.set_aside(damage.value)
    assert spool.count() == 1
    assert len(spool.set_aside_files()) == 1


@pytest.mark.usefixtures("takes_long")
def test_an_erasure_and_the_list_name_a_damaged_spool_that_may_hold_the_person(tmp_path: Path) -> None:
    (tmp_path / SPOOL).write_bytes(os.urandom(10_000))
    spool = Spool(tmp_path / SPOOL)
    spool.prepare()
    (aside,) = spool.set_aside_files()
    with pytest.raises(SpoolRefused, match="may hold the same person"):
        spool.rewrite({})
    assert aside.name in regulars("spool", "list", home=tmp_path, database_url="host=127.0.0.1 port=1").stdout
    aside.unlink()
    spool.rewrite({})
