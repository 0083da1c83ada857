"""Replaying a spool that several processes share: each event is written once, and none holds up another."""

import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ingest import Checkout, Tracker
from ingest.spool.file import SPOOL, Spool
from ingest.spool.replay import replay
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from tests.conftest import Database
from tests.storefront import add_order, add_shop, fetch

_REPLAY = """
import sys
from pathlib import Path
from ingest.storage.connections import connect
from ingest.spool.replay import replay
from ingest.spool.file import Spool

with connect(sys.argv[1]) as connection:
    print("ready", flush=True)
    sys.stdin.readline()
    print(replay(connection, Spool(Path(sys.argv[2]))).written)
"""


@pytest.fixture
def replayers(migrated: Database, spool: Spool) -> Iterator[list[subprocess.Popen[str]]]:
    """Three processes that replay the spool on command."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _REPLAY, migrated.conninfo, str(spool.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def _spool_checkouts(connection: Connection, spool: Spool, number: int) -> list[UUID]:
    shop = add_shop(connection, str(uuid4()))
    orders = [
        UUID(str(order))
        for (order,) in fetch(
            connection,
            "insert into shop_orders (shop_id, total_price) select %s, 10 from generate_series(1, %s) returning id",
            shop,
            number,
        )
    ]
    events = [
        Checkout(shop_id=shop, order_id=order, phone="0241234567").model_dump_json(exclude_none=True)
        for order in orders
    ]
    spool.add_batches(lambda: [("checkout", events)])
    return orders


def _assert_each_stands_once(connection: Connection, orders: list[UUID]) -> None:
    matched = "select count(shop_customer_id) from regulars.tracking where shop_order_id = any(%s)"
    assert fetch(connection, matched, orders) == [(len(orders),)]
    assert fetch(connection, "select count(*) from regulars.failures") == [(0,)]


@pytest.mark.usefixtures("takes_long")
def test_concurrent_replays_of_one_spool_write_each_event_once(
    connection: Connection, spool: Spool, replayers: list[subprocess.Popen[str]]
) -> None:
    orders = _spool_checkouts(connection, spool, 1500)
    with ThreadPoolExecutor() as threads:
        written = list(threads.map(lambda process: int(process.communicate("go\n", timeout=60)[0]), replayers))
    assert sum(written) == len(orders)
    assert spool.count() == 0
    _assert_each_stands_once(connection, orders)


@pytest.mark.usefixtures("takes_long")
def test_another_replay_completes_what_a_killed_one_had_begun(
    connection: Connection, spool: Spool, replayers: list[subprocess.Popen[str]]
) -> None:
    orders = _spool_checkouts(connection, spool, 1500)
    killed, *others = replayers
    assert killed.stdin is not None
    killed.stdin.write("go\n")
    killed.stdin.flush()
    while spool.count() == len(orders):
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert spool.count() > 0, "it had ended before it was killed"
    with ThreadPoolExecutor() as threads:
        written = list(threads.map(lambda process: int(process.communicate("go\n", timeout=60)[0]), others))
    assert 0 < sum(written) < len(orders)
    assert spool.count() == 0
    _assert_each_stands_once(connection, orders)


class _Watched(Spool):
    """Records whether events are on the server's disk when the spool is about to delete them."""

    def __init__(self, path: Path, connection: Connection) -> None:
        super().__init__(path)
        self.connection = connection
        self.flushed: list[object] = []

    def settle(self, *, written: Collection[int], later: Collection[int], hopeless: Mapping[int, str]) -> None:
        if written:
            self.flushed += fetch(self.connection, "select pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()")
        super().settle(written=written, later=later, hopeless=hopeless)


def test_an_event_is_on_the_servers_disk_before_the_spool_deletes_it(
    connection: Connection, migrated: Database, tmp_path: Path
) -> None:
    before = fetch(connection, "show synchronous_commit")
    with migrated.connect() as other:
        spool = _Watched(tmp_path / SPOOL, other)
        for _ in range(10):
            _spool_checkouts(connection, spool, 5)
            assert replay(connection, spool).written == 5
    # Not every time, because the server also writes for its own purposes.
    assert spool.flushed.count((True,)) > 5
    assert fetch(connection, "show synchronous_commit") == before


def test_an_event_of_an_unknown_order_is_retried_with_a_backoff_and_holds_up_no_other(
    connection: Connection, spool: Spool
) -> None:
    shop = add_shop(connection)
    spool.add("checkout", Checkout(shop_id=shop, order_id=uuid4(), phone="0241234567").model_dump_json())
    assert replay(connection, spool, only_due=True).left == 1
    order = add_order(connection, shop)
    spool.add("checkout", Checkout(shop_id=shop, order_id=order, phone="0241234567").model_dump_json())
    done = replay(connection, spool, only_due=True)
    assert (done.written, done.left) == (1, 0), "an event that was tried just now is not due"
    _assert_each_stands_once(connection, [order])
    first = spool.next_due()
    assert first is not None
    for _ in range(3):
        assert replay(connection, spool).left == 1
    later = spool.next_due()
    assert later is not None
    assert later - first > 5


def test_an_event_that_lacks_a_privilege_stays_in_the_spool_and_holds_up_no_other(
    connection: Connection, spool: Spool, migrated: Database
) -> None:
    shop = add_shop(connection)
    order = add_order(connection, shop)
    spool.add("checkout", Checkout(shop_id=shop, order_id=order, phone="0241234567").model_dump_json())
    connection.execute("revoke execute on all functions in schema regulars from regulars_checkout, public")
    with migrated.connect() as may_not:
        may_not.execute("set role regulars_checkout")
        for _ in range(60):
            assert replay(may_not, spool).left == 1
    assert [entry.set_aside_because for entry in spool.everything()] == [None]
    assert replay(connection, spool).written == 1
    _assert_each_stands_once(connection, [order])


def test_the_next_process_replays_the_spool_of_one_that_has_ended(
    connection: Connection, migrated: Database, spool: Spool
) -> None:
    orders = _spool_checkouts(connection, spool, 10)
    with Tracker(Settings(DATABASE_URL=migrated.conninfo, home=spool.path.parent)):
        for _ in range(200):
            if spool.count() == 0:
                break
            time.sleep(0.05)
    assert spool.count() == 0
    _assert_each_stands_once(connection, orders)
