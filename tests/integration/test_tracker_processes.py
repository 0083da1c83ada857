"""A tracker whose process forks or ends: each process has threads of its own, and no answered event is lost."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from ingest import Checkout
from ingest.spool.file import SPOOL, Spool
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.storefront import add_order, add_shop, fetch

pytestmark = pytest.mark.usefixtures("counts_on_time")

_BEGIN = r"""
import atexit
import os
import sys
import threading
import time
from pathlib import Path
from uuid import UUID, uuid4
from ingest import Checkout, Tracker
from ingest.storage.settings import Settings

tracker = Tracker(Settings(DATABASE_URL=sys.argv[1], home=Path(sys.argv[2]), track_budget_ms=int(sys.argv[3])))

def track(order=None, shop=None):
    order = UUID(order) if order else uuid4()
    answer = tracker.track(Checkout(shop_id=UUID(shop) if shop else order, order_id=order, phone="0241234567"))
    # In one write, without a lock that a forked child could find taken.
    os.write(1, f"{order} {answer.outcome}\n".encode())
"""

_NOBODY_LISTENS = "host=127.0.0.1 port=1"


def _run(script: str, where: str, home: Path, *arguments: str, budget_ms: int = 500) -> list[tuple[str, str]]:
    """The answered orders, each with its outcome."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _BEGIN + script, where, str(home), str(budget_ms), *arguments],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return [(order, outcome) for order, outcome in (line.split() for line in done.stdout.splitlines())]


def _spooled(home: Path) -> set[str]:
    spool = Spool(home / SPOOL)
    return {str(Checkout.model_validate_json(entry.event).order_id) for entry in spool.everything(limit=1_000_000)}


_FORK_WHILE_SPOOLING = """
stop = threading.Event()

def trade():
    while not stop.is_set():
        track()

track()
traders = [threading.Thread(target=trade) for _ in range(4)]
for trader in traders:
    trader.start()
for _ in range(5):
    time.sleep(0.05)
    if (child := os.fork()) == 0:
        # The child needs a writer of its own, because it has none of the parent's threads.
        track()
        tracker.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for trader in traders:
    trader.join()
track()
tracker.close()
"""


def test_a_forked_child_spools_with_a_writer_of_its_own_and_the_parent_goes_on(tmp_path: Path) -> None:
    answered = _run(_FORK_WHILE_SPOOLING, _NOBODY_LISTENS, tmp_path)
    assert {outcome for _, outcome in answered} == {"spooled"}
    assert _spooled(tmp_path) == {order for order, _ in answered}


_FORK_WHILE_CONNECTED = """
shop, *orders = sys.argv[4:]
track(orders[0], shop)
if (child := os.fork()) == 0:
    track(orders[1], shop)
    tracker.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
track(orders[2], shop)
assert tracker.spool.count() == 0
tracker.close()
"""


def test_a_forked_child_opens_its_own_connections_and_leaves_the_parents_alone(
    migrated: Database, connection: Connection, tmp_path: Path
) -> None:
    shop = add_shop(connection)
    orders = [add_order(connection, shop) for _ in range(3)]
    answered = _run(_FORK_WHILE_CONNECTED, migrated.conninfo, tmp_path, str(shop), *map(str, orders), budget_ms=5000)
    assert [outcome for _, outcome in answered] == ["new_customer", "returning_customer", "returning_customer"]
    assert [UUID(order) for order, _ in answered] == orders
    assert fetch(connection, "select count(*) from regulars.unmatched_orders") == [(0,)]


_END_WITHOUT_CLOSING = """
atexit.register(track)
threads = [threading.Thread(target=track) for _ in range(20)]
for thread in threads:
    thread.start()
"""


def test_an_interpreter_that_ends_has_spooled_every_event_that_it_answered(tmp_path: Path) -> None:
    answered = _run(_END_WITHOUT_CLOSING, _NOBODY_LISTENS, tmp_path)
    assert [outcome for _, outcome in answered] == ["spooled"] * 21
    assert _spooled(tmp_path) == {order for order, _ in answered}
