"""The tracker under faults: it answers within its budget, raises nothing, and each event counts once afterwards."""

import asyncio
import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from uuid import UUID, uuid4

import pytest
from psycopg.rows import dict_row

from flows.steps import run_refresh
from ingest import Checkout, Tracker, Visit
from ingest.spool.file import SPOOL, Spool
from ingest.spool.replay import replay
from ingest.storage.budget import BudgetedConnection, TookTooLong
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from tests.conftest import Database
from tests.integration.test_command import regulars
from tests.proxy import Proxy
from tests.storefront import MOMENT, add_order, add_shop, fetch

BUDGET = 0.25
GRACE = 0.05


@pytest.fixture
def proxy(migrated: Database) -> Iterator[Proxy]:
    with Proxy(migrated.conninfo) as proxy:
        yield proxy


@pytest.fixture
def settings(proxy: Proxy, tmp_path: Path) -> Settings:
    return Settings(DATABASE_URL=proxy.conninfo, home=tmp_path, track_budget_ms=round(BUDGET * 1000))


@pytest.fixture
def tracker(settings: Settings) -> Iterator[Tracker]:
    with Tracker(settings) as tracker:
        yield tracker


@contextmanager
def _fault(proxy: Proxy, name: str) -> Iterator[None]:
    proxy.fault = name  # type: ignore[assignment]
    try:
        yield
    finally:
        proxy.fault = "none"
        proxy.cut()


@contextmanager
def _refused(proxy: Proxy) -> Iterator[None]:
    proxy.refuse()
    try:
        yield
    finally:
        proxy.listen_again()


def _timed(call: Callable[[], object]) -> tuple[float, object]:
    """The seconds that a call took, less the lag of this machine and its disk, and its answer."""
    done = threading.Event()
    waited = {"the processor": 0.0, "the disk": 0.0}

    def watch(what: str, work: Callable[[], object], usual: float) -> None:
        while not done.is_set():
            began = time.monotonic()
            work()
            lag = time.monotonic() - began - usual
            waited[what] += lag if lag > 0.01 else 0

    with TemporaryFile() as file:

        def write() -> None:
            file.write(b".")
            file.flush()
            os.fsync(file.fileno())
            time.sleep(0.02)

        watchers = [
            threading.Thread(target=watch, args=("the processor", lambda: time.sleep(0.005), 0.005)),
            threading.Thread(target=watch, args=("the disk", write, 0.022)),
        ]
        for watcher in watchers:
            watcher.start()
        began = time.monotonic()
        answer = call()
        took = time.monotonic() - began
        done.set()
        for watcher in watchers:
            watcher.join()
    # No budget helps against either lag. The disk's watcher measures a lag of the processor too.
    return took - max(waited.values()), answer


def _await_empty(tracker: Tracker) -> None:
    for _ in range(400):
        if tracker.spool.count() == 0:
            return
        time.sleep(0.05)
    raise AssertionError(tracker.spool.everything())


def _assert_each_counts_once(connection: Connection, orders: list[UUID]) -> None:
    assert fetch(
        connection,
        "select count(*), count(shop_customer_id) from regulars.tracking where shop_order_id = any(%s)",
        orders,
    ) == [(len(orders), len(orders))]
    assert fetch(connection, "select count(*) from regulars.customers") == [(1,)]
    assert fetch(
        connection,
        "select count(*), count(distinct shop_order_id) from regulars.tracking where shop_order_id is not null",
    ) == [(len(orders), len(orders))]


_FAULTS: dict[str, Callable[[Proxy], AbstractContextManager[None]]] = {
    "slow": lambda proxy: _fault(proxy, "slow"),
    "silent": lambda proxy: _fault(proxy, "silent"),
    "cut in mid-statement": lambda proxy: _fault(proxy, "cut before"),
    "cut right after the commit": lambda proxy: _fault(proxy, "cut after"),
    "refused": _refused,
}


@pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("name", _FAULTS)
def test_a_network_fault_costs_no_more_than_the_budget_and_loses_nothing(
    migrated: Database, proxy: Proxy, tracker: Tracker, name: str, is_warm: bool
) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        orders = [add_order(connection, shop) for _ in range(6)]
        checkouts = [Checkout(shop_id=shop, order_id=order, phone="0241234567") for order in orders]
        if is_warm:
            assert tracker.track(checkouts[0]).outcome == "new_customer"
        with _FAULTS[name](proxy):
            for checkout in checkouts[1:4]:
                took, answer = _timed(lambda checkout=checkout: tracker.track(checkout))  # type: ignore[misc]
                assert took <= BUDGET + GRACE
                assert answer.outcome == "spooled"  # type: ignore[attr-defined]
            visit = tracker.visit(Visit(shop_id=shop, slug="promo"))
            assert visit.outcome == "spooled"
        _await_empty(tracker)
        for checkout in (checkouts[0], *checkouts[4:]):
            tracker.track(checkout)
        _await_empty(tracker)
        _assert_each_counts_once(connection, orders)
        assert fetch(connection, "select accessed_via_slug from regulars.tracking where id = %s", visit.visit_id) == [
            ("promo",)
        ]


def test_a_terminated_backend_is_noticed_before_it_is_used(migrated: Database, tracker: Tracker) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        orders = [add_order(connection, shop) for _ in range(3)]
        for order in orders:
            took, _answer = _timed(
                lambda order=order: tracker.track(Checkout(shop_id=shop, order_id=order, phone="0241234567"))  # type: ignore[misc]
            )
            assert took <= BUDGET + GRACE
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'regulars-ingest'"
            )
        _await_empty(tracker)
        _assert_each_counts_once(connection, orders)


def test_a_lock_on_the_customer_is_not_waited_for_and_the_event_is_stored(migrated: Database, tracker: Tracker) -> None:
    with migrated.connect() as connection, migrated.connect() as holder:
        shop = add_shop(connection)
        order = add_order(connection, shop)
        holder.execute("begin")
        holder.execute("insert into regulars.customers (shop_id, phone_number) values (%s, '+233241234567')", [shop])
        checkout = Checkout(shop_id=shop, order_id=order, phone="0241234567")
        took, answer = _timed(lambda: tracker.track(checkout))
        assert took <= BUDGET + GRACE
        assert answer.outcome == "failed"  # type: ignore[attr-defined]
        assert fetch(connection, "select order_id from regulars.failures") == [(order,)]
        holder.execute("commit")
        assert tracker.track(checkout).outcome == "returning_customer"
        _assert_each_counts_once(connection, [order])


def test_an_exhausted_pool_costs_no_more_than_the_budget(migrated: Database, settings: Settings) -> None:
    with (
        migrated.connect() as connection,
        migrated.connect() as holder,
        Tracker(settings.model_copy(update={"track_connections": 1})) as tracker,
    ):
        shop = add_shop(connection)
        orders = [add_order(connection, shop) for _ in range(2)]
        tracker.track(Checkout(shop_id=shop, order_id=orders[0], phone="0241234567"))
        checkout = Checkout(shop_id=shop, order_id=orders[1], phone="0241234567")
        with tracker._pool.connection(timeout=5):
            took, answer = _timed(lambda: tracker.track(checkout))
        assert took <= BUDGET + GRACE
        assert answer.outcome == "spooled"  # type: ignore[attr-defined]
        _await_empty(tracker)
        _assert_each_counts_once(connection, orders)
        assert holder.closed is False


def test_an_order_that_is_not_committed_yet_is_matched_when_it_is(migrated: Database, tracker: Tracker) -> None:
    with migrated.connect() as connection, migrated.connect() as storefront:
        shop = add_shop(connection)
        storefront.execute("begin")
        order = add_order(storefront, shop)
        answer = tracker.track(Checkout(shop_id=shop, order_id=order, phone="0241234567"))
        assert (answer.outcome, answer.reason) == ("spooled", "UnknownOrder")
        storefront.execute("commit")
        _await_empty(tracker)
        _assert_each_counts_once(connection, [order])


def test_events_are_replayed_in_order_so_that_a_purchase_completes_its_visit(
    migrated: Database, proxy: Proxy, tracker: Tracker
) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        order = add_order(connection, shop)
        with _refused(proxy):
            visit = tracker.visit(Visit(shop_id=shop, slug="promo"))
            tracker.track(Checkout(shop_id=shop, order_id=order, phone="0241234567", visit_id=visit.visit_id))
        _await_empty(tracker)
        assert fetch(connection, "select id, shop_order_id from regulars.tracking") == [(visit.visit_id, order)]


def test_an_invalid_entry_is_set_aside_with_its_reason_and_holds_up_no_other(
    migrated: Database, proxy: Proxy, tracker: Tracker
) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        order = add_order(connection, shop)
        tracker.spool.add("checkout", '{"shop_id": "no uuid", "phone": "0241234567"}')
        tracker.spool.add("visit", "not even JSON")
        with _refused(proxy):
            tracker.track(Checkout(shop_id=shop, order_id=order, phone="0241234567"))
        _await_empty(tracker)
        _assert_each_counts_once(connection, [order])
        assert [entry.set_aside_because for entry in tracker.spool.everything()] == ["ValidationError"] * 2


def test_a_full_spool_and_a_read_only_disk_refuse_events(proxy: Proxy, settings: Settings, tmp_path: Path) -> None:
    proxy.refuse()
    (tmp_path / "file").write_text("")
    unwritable = settings.model_copy(update={"home": tmp_path / "file"})
    with Tracker(unwritable) as tracker:
        answer = tracker.track(Checkout(shop_id=uuid4(), order_id=uuid4(), phone="0241234567"))
        assert answer.outcome == "refused"
    with Tracker(settings) as tracker:
        tracker.spool._most_events = 2
        outcomes = [tracker.visit(Visit(shop_id=uuid4())).outcome for _ in range(3)]
        assert outcomes == ["spooled", "spooled", "refused"]


def test_a_broken_disk_does_not_keep_the_tracker_from_a_database_that_is_back(
    migrated: Database, proxy: Proxy, settings: Settings, tmp_path: Path
) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        order = add_order(connection, shop)
    checkout = Checkout(shop_id=shop, order_id=order, phone="0241234567")
    # A folder of that name can be neither read nor written, but is not a damaged spool.
    (tmp_path / SPOOL).mkdir()
    with Tracker(settings) as tracker:
        with _refused(proxy):
            assert tracker.track(checkout).outcome == "refused"
        for _ in range(200):
            if (outcome := tracker.track(checkout).outcome) != "refused":
                break
            time.sleep(0.05)
        assert outcome == "new_customer"


def test_an_event_that_the_database_refuses_holds_up_no_other(migrated: Database, tracker: Tracker) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        order = add_order(connection, shop)
        # Pydantic would not allow it, but a caller may build an event without validation.
        poison = Visit.model_construct(shop_id=shop, visit_id=uuid4(), slug="\0")
        assert tracker.visit(poison).outcome == "spooled"
        assert tracker.track(Checkout(shop_id=shop, order_id=order, phone="0241234567")).outcome == "new_customer"


def test_a_replay_gives_up_on_a_server_that_does_not_answer(proxy: Proxy, tmp_path: Path) -> None:
    spool = Spool(tmp_path / SPOOL)
    spool.add("visit", Visit(shop_id=uuid4()).model_dump_json())
    with BudgetedConnection.connect(proxy.conninfo, autocommit=True) as connection:
        connection.patience = 0.2
        proxy.fault = "silent"
        with pytest.raises(TookTooLong):
            replay(connection, spool)
        proxy.fault = "none"
    assert spool.count() == 1


def test_a_spooled_batch_waits_for_the_disk_once_and_keeps_its_order_and_its_times(
    proxy: Proxy, tracker: Tracker
) -> None:
    proxy.refuse()
    tracker.spool.add("visit", "nothing")
    tracker.spool._most_events = 21
    visits = [Visit(shop_id=uuid4(), accessed_at=MOMENT if n % 2 else None) for n in range(30)]
    with closing(sqlite3.connect(tracker.spool.path)) as other:
        # While another connection is open, SQLite does not empty its log.
        other.execute("select * from events").fetchall()
        answers = tracker.visit_many(visits)
        assert _commits(tracker.spool) == 1
    assert [answer.outcome for answer in answers] == ["spooled"] * 20 + ["refused"] * 10
    assert [answer.visit_id for answer in answers] == [visit.visit_id for visit in visits]
    spooled = [Visit.model_validate_json(entry.event) for entry in tracker.spool.everything()[1:]]
    assert [visit.visit_id for visit in spooled] == [visit.visit_id for visit in visits[:20]]
    assert [visit.accessed_at == MOMENT for visit in spooled] == [False, True] * 10
    assert all(visit.accessed_at is not None for visit in spooled)


def _commits(spool: Spool) -> int:
    """The number of commits in SQLite's log: the second word of a commit's last frame is not 0."""
    log = spool.path.with_name(f"{spool.path.name}-wal").read_bytes()
    frame = 24 + int.from_bytes(log[8:12], "big")
    return sum(log[at + 4 : at + 8] != bytes(4) for at in range(32, len(log), frame))


@pytest.mark.usefixtures("takes_long")
def test_a_full_disk_refuses_events(tmp_path: Path) -> None:
    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = subprocess.run(
        [sys.executable, "-c", _TRACK_IN_A_PROCESS, str(tmp_path)],
        capture_output=True, text=True, timeout=60, preexec_fn=fill,
    )  # fmt: skip
    assert done.stdout.split()[-1] == "refused", done.stdout + done.stderr
    assert "Traceback" not in done.stderr


_TRACK_IN_A_PROCESS = """
import sys
from pathlib import Path
from uuid import uuid4
from ingest import Checkout, Tracker
from ingest.spool.replay import replay
from ingest.storage.settings import Settings
from ingest.spool.file import SPOOL, Spool

with Tracker(Settings(DATABASE_URL="host=127.0.0.1 port=1", home=Path(sys.argv[1]))) as tracker:
    for _ in range(30):
        print(tracker.track(Checkout(shop_id=uuid4(), order_id=uuid4(), phone="0" * 200)).outcome)
"""


def test_async_calls_do_not_block_the_event_loop(migrated: Database, tracker: Tracker) -> None:
    async def serve(shop: UUID, orders: list[UUID]) -> list[str]:
        answers = await asyncio.gather(
            tracker.visit_async(Visit(shop_id=shop)),
            *(tracker.track_async(Checkout(shop_id=shop, order_id=o, phone="0241234567")) for o in orders),
        )
        return sorted(answer.outcome for answer in answers)

    with migrated.connect() as connection:
        shop = add_shop(connection)
        orders = [add_order(connection, shop) for _ in range(3)]
        assert asyncio.run(serve(shop, orders)) == [
            "new_customer", "noted", "returning_customer", "returning_customer",
        ]  # fmt: skip


def test_logs_hold_no_phone_email_or_name(
    migrated: Database, proxy: Proxy, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with migrated.connect() as connection:
        shop = add_shop(connection)
        with _refused(proxy):
            tracker.track(
                Checkout(
                    shop_id=shop, order_id=uuid4(), phone="0241234567", email="ama@example.com", customer_name="Ama B"
                )
            )
        tracker.track(Checkout(shop_id=shop, order_id=uuid4(), phone="0241234567", email="ama@example.com"))
    assert "spooled" in caplog.text
    for private in ("0241234567", "241234567", "ama@example.com", "Ama B"):
        assert private not in caplog.text


def test_a_failure_within_the_callers_transaction_does_not_abort_it(migrated: Database, tracker: Tracker) -> None:
    with migrated.connect() as connection, migrated.connect() as holder:
        shop = add_shop(connection)
        order = add_order(connection, shop)
        checkout = Checkout(shop_id=shop, order_id=order, phone="0241234567")
        holder.execute("begin")
        holder.execute("lock table regulars.customers in access exclusive mode")
        connection.execute("set statement_timeout = '100ms'")
        with connection.transaction():
            connection.execute("update shop_orders set reference_code = 'R1' where id = %s", [order])
            answer = tracker.track_within(connection, checkout)
            assert answer.outcome == "spooled"
        holder.execute("rollback")
        assert fetch(connection, "select reference_code from shop_orders") == [("R1",)]
        _await_empty(tracker)
        _assert_each_counts_once(connection, [order])


def test_within_the_callers_transaction_it_raises_nothing_even_if_the_database_never_gives_an_answer(
    migrated: Database, tracker: Tracker
) -> None:
    with migrated.connect() as connection:
        shop = add_shop(connection)
        # A fault, in place of the database's function: the shop's country is another one each time.
        connection.execute(
            "create or replace function regulars.track(in event jsonb, inout country text, in phone text, "
            "in unreadable_reason text, in phone_hash bytea default null, out outcome text, out customer_id uuid, "
            "out visit_id uuid, out key_check bytea) language sql as "
            "$$ select 'X' || $2, 'other_country', null::uuid, null::uuid, null::bytea $$"
        )
        with connection.transaction():
            order = add_order(connection, shop)
            answer = tracker.track_within(connection, Checkout(shop_id=shop, order_id=order, phone="0241234567"))
            assert (answer.outcome, answer.reason) == ("spooled", "RegularsError")
        assert fetch(connection, "select id from shop_orders") == [(order,)]


def test_a_match_within_the_callers_transaction_is_committed_or_rolled_back_with_it(
    migrated: Database, tracker: Tracker
) -> None:
    with migrated.connect() as connection:
        connection.row_factory = dict_row  # type: ignore[assignment]
        shop = add_shop(connection)
        with connection.transaction(force_rollback=True):
            order = add_order(connection, shop)
            checkout = Checkout(shop_id=shop, order_id=order, phone="0241234567")
            assert tracker.track_within(connection, checkout).outcome == "new_customer"
        with connection.transaction():
            order = add_order(connection, shop)
            checkout = Checkout(shop_id=shop, order_id=order, phone="0241234567")
            assert tracker.track_within(connection, checkout).outcome == "new_customer"
    with migrated.connect() as connection:
        _assert_each_counts_once(connection, [order])


def test_the_nightly_refresh_and_the_command_replay_the_spool(built: Database, tmp_path: Path) -> None:
    with built.connect() as connection:
        shop = add_shop(connection)
        orders = [add_order(connection, shop) for _ in range(2)]
    spool = Spool(tmp_path / SPOOL)
    where = {"home": tmp_path, "database_url": built.conninfo}
    spool.add("checkout", Checkout(shop_id=shop, order_id=orders[0], phone="0241234567").model_dump_json())
    run_refresh(built.settings.model_copy(update={"home": tmp_path}))
    spool.add("checkout", Checkout(shop_id=shop, order_id=orders[1], phone="0241234567").model_dump_json())
    spool.add("visit", "poison")
    listed = regulars("spool", "list", **where).stdout
    assert "2 events wait" in listed
    assert "0241234567" not in listed
    assert "1 written, 1 set aside, 0 left" in regulars("spool", "replay", **where).stdout
    assert "set aside: ValidationError" in regulars("spool", "list", **where).stdout
    assert regulars("spool", "drop", "3", **where).returncode == 0
    assert "No event 3" in regulars("spool", "drop", "3", **where).stderr
    with built.connect() as connection:
        _assert_each_counts_once(connection, orders)
