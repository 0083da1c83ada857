"""Kills in the middle of trade: every event that `track` answered counts once when everything is up again."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from ingest.spool.file import SPOOL, Spool
from ingest.spool.replay import replay
from ingest.storage.connections import connect
from ingest.storage.embedded import embedded_conninfo
from ingest.storage.migrations import migrate
from tests.conftest import in_memory
from tests.storefront import add_shop, fetch
from tests.waiting import wait_until

PROCESSES = 2
THREADS = 8
CHECKOUTS = 1000  # of each process


@pytest.fixture
def home() -> Iterator[Path]:
    """A server for this test alone, because it is killed."""
    with tempfile.TemporaryDirectory(prefix="regulars-", dir=in_memory(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)
        _kill_server(Path(folder))


def _kill_server(home: Path) -> None:
    os.kill(int((home / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)


_TRADE = f"""
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID
from ingest import Checkout, Tracker
from ingest.storage.settings import Settings

shop = UUID(sys.argv[3])
orders = Path(sys.argv[4]).read_text().split()
answered = open(sys.argv[5], "a", buffering=1)
with Tracker(Settings(DATABASE_URL=sys.argv[1], home=Path(sys.argv[2]))) as tracker:
    def trade(number):
        phone = f"0244{{number % 50:06d}}"
        time.sleep(0.01)  # so that trade lasts long enough to be killed in the middle
        answer = tracker.track(Checkout(shop_id=shop, order_id=UUID(orders[number]), phone=phone))
        if answer.outcome != "refused":
            answered.write(orders[number] + "\\n")
    with ThreadPoolExecutor({THREADS}) as threads:
        list(threads.map(trade, range(len(orders))))
"""


def _answered(files: list[Path]) -> list[UUID]:
    # The last line of a killed process may be half written.
    return [UUID(line) for file in files if file.exists() for line in file.read_text().split() if len(line) == 36]


@pytest.mark.usefixtures("takes_long")
def test_what_was_answered_before_the_kills_counts_exactly_once(home: Path) -> None:
    where = embedded_conninfo(home)
    with connect(where) as connection:
        migrate(connection)
        shop = add_shop(connection)
        orders = fetch(
            connection,
            "insert into shop_orders (shop_id, total_price) select %s, 10 from generate_series(1, %s) returning id",
            shop,
            PROCESSES * CHECKOUTS,
        )
    processes, files = [], []
    for number in range(PROCESSES):
        mine, file = home / f"orders-{number}", home / f"answered-{number}"
        mine.write_text("\n".join(str(order) for (order,) in orders[number * CHECKOUTS : (number + 1) * CHECKOUTS]))
        files.append(file)
        processes.append(
            subprocess.Popen([sys.executable, "-c", _TRADE, where, str(home), str(shop), str(mine), str(file)])
        )

    wait_until(lambda: len(_answered(files)) > 200)
    _kill_server(home)
    time.sleep(0.1)
    os.kill(processes[0].pid, signal.SIGKILL)
    processes[0].wait(10)
    assert embedded_conninfo(home) == where
    assert processes[1].wait(120) == 0

    answered = _answered(files)
    assert len(answered) >= CHECKOUTS
    assert len(_answered(files[:1])) < CHECKOUTS, "the process had ended before it was killed"
    with connect(where) as connection:
        replay(connection, Spool(home / SPOOL))
        # None is expected to fail inside the database, although that would not be a loss: it is stored there.
        assert fetch(connection, "select count(*) from regulars.failures") == [(0,)]
        assert fetch(
            connection,
            "select count(*) from regulars.tracking where shop_order_id = any(%s) and shop_customer_id is not null",
            answered,
        ) == [(len(answered),)]
        assert fetch(connection, "select count(*) from regulars.tracking where shop_order_id = any(%s)", answered) == [
            (len(answered),)
        ]
        assert fetch(connection, "select count(*) from regulars.customers") == [(50,)]
