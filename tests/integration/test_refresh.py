"""A refresh under trouble: damaged marts, failing tests, kills, two at once, readers, nothing to do."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from uuid import UUID

import psycopg
import pytest

from flows import history
from flows.building.plan import plan_file
from flows.errors import BuildFailed, NotReconciled, RefreshRunning
from flows.lock import refresh_lock
from flows.steps import STEPS, Run, Step, run_refresh
from ingest.storage.connections import Connection
from tests.conftest import NAME, Database, Server
from tests.snapshot import snapshot
from tests.storefront import add_order, add_shop, fetch
from tests.waiting import wait_until_alone


def _trade(connection: Connection, shop: UUID, *, orders: int = 12) -> None:
    for number in range(orders):
        add_order(connection, shop, phone=f"02412345{number % 5:02d}", total=Decimal(10 + number))


@pytest.fixture(scope="module")
def traded_template(server: Server, built_template: str) -> str:
    database = server.create(NAME, template=built_template)
    with database.connect() as connection:
        _trade(connection, add_shop(connection, "ama-data"))
        _trade(connection, add_shop(connection, "kofi-data"))
    run_refresh(database.settings)
    # This one tries the first forecasts, so that those of the tests have none to try.
    run_refresh(database.settings)
    return server.rename(database, f"{NAME}_traded")


@pytest.fixture
def traded(server: Server, traded_template: str) -> Iterator[Database]:
    """Two shops, twelve orders of five customers each, refreshed."""
    yield server.create(NAME, template=traded_template)
    server.drop(NAME)


def _overview(connection: Connection) -> list[tuple[object, ...]]:
    return fetch(
        connection,
        "select total_orders, total_customers, repeat_customers, customer_revenue, refreshed_at "
        "from analytics.shop_overview order by shop_id",
    )


def _writes(connection: Connection) -> list[tuple[object, ...]]:
    """Of each relation in analytics: rows ever written. Counted by the server, whoever writes."""
    # Another session reports its own at the latest when it ends.
    wait_until_alone(connection)
    connection.execute("select pg_stat_force_next_flush()")
    return fetch(
        connection,
        "select relname, n_tup_ins, n_tup_upd, n_tup_del from pg_stat_all_tables "
        "where schemaname = 'analytics' order by relname",
    )


def test_a_refresh_with_nothing_to_do_writes_to_no_mart(traded: Database) -> None:
    with traded.connect() as connection:
        at_first = _writes(connection)
        connection.execute("update shop_orders set total_price = total_price + 1")
        run_refresh(traded.settings)
        before, numbers = _writes(connection), snapshot(connection)
        assert before != at_first
        done = run_refresh(traded.settings)
        assert (done.mode, done.status, done.changes) == ("refresh", "succeeded", 0)
        assert _writes(connection) == before
        assert snapshot(connection) == numbers


def test_a_change_that_changes_no_number_writes_to_no_mart(traded: Database) -> None:
    with traded.connect() as connection:
        before = [row for row in _writes(connection) if row[0] != "shop_overview"]
        connection.execute("update shop_orders set updated_at = now(), base_price = 1")
        assert run_refresh(traded.settings).changes == 24
        assert [row for row in _writes(connection) if row[0] != "shop_overview"] == before


@pytest.mark.parametrize(
    ("damage", "mart"),
    [
        ("update analytics.orders set net_amount = net_amount + 0.01 where net_amount = 21", "orders"),
        ("delete from analytics.orders where net_amount = 21", "orders"),
        ("update analytics.shop_days set net_amount = net_amount + 0.01", "shop_days"),
        ("update analytics.shop_days set sales = sales - 1", "shop_days"),
        ("delete from analytics.shop_days", "shop_days"),
        ("update analytics.slug_months set net_amount = 0", "slug_months"),
        ("delete from analytics.purchases where net_amount = 21", "purchases"),
        ("update analytics.customers set total_spent = total_spent * 2", "customers"),
        ("update analytics.cohort_months set sales = sales + 1", "cohort_months"),
    ],
)
def test_a_damaged_mart_fails_the_refresh_names_the_shop_and_publishes_nothing(
    traded: Database, damage: str, mart: str
) -> None:
    with traded.connect() as connection:
        shop = fetch(connection, "select id from user_shops where shop_slug = 'ama-data'")[0][0]
        predicate = " and " if " where " in damage else " where "
        connection.execute(f"{damage}{predicate}shop_id = '{shop}'")  # type: ignore[arg-type]
        published = snapshot(connection)
        add_order(connection, fetch(connection, "select id from user_shops where shop_slug = 'kofi-data'")[0][0])  # type: ignore[arg-type]

        with pytest.raises(NotReconciled) as raised:
            run_refresh(traded.settings)

        assert f"shop ama-data, {mart}: " in str(raised.value)
        assert " where " in str(raised.value)
        assert "kofi-data" not in str(raised.value)
        assert snapshot(connection) == published
        latest = history.last(connection)
        assert latest is not None
        assert latest.status == "failed"
        assert "ama-data" in str(latest.error)


def test_a_model_that_fails_publishes_nothing_and_the_next_refresh_makes_it_good(traded: Database) -> None:
    with traded.connect() as connection:
        published = snapshot(connection)
        shop = fetch(connection, "select id from user_shops where shop_slug = 'ama-data'")[0][0]
        add_order(connection, shop, total="1000.00")  # type: ignore[arg-type]
        connection.execute("alter table building.customers add constraint no_big_spender check (total_spent < 1000)")
        with pytest.raises(BuildFailed, match="customers"):
            run_refresh(traded.settings)
        assert snapshot(connection) == published
        connection.execute("alter table building.customers drop constraint no_big_spender")
        assert run_refresh(traded.settings).mode == "refresh"
        _assert_equal_to_a_rebuild(traded, connection)


def test_a_data_test_that_fails_publishes_nothing_and_one_that_warns_is_told(traded: Database) -> None:
    with traded.connect() as connection:
        published = _overview(connection)
        connection.execute("update shop_orders set order_status = 'shipped' where total_price = 15")
        assert [w for w in run_refresh(traded.settings).warnings if "order_status" in w]
        assert _overview(connection)[0][0] == published[0][0] - 1  # type: ignore[operator]
        published_rows = snapshot(connection)

        # Whatever the refresh writes, the row that a purchase belongs to is gone when its test looks.
        connection.execute("create function public.lose() returns trigger language plpgsql as 'begin return null; end'")
        connection.execute(
            "create trigger lose before insert on building.customers for each row execute function public.lose()"
        )
        connection.execute("update shop_orders set total_price = total_price + 1")
        with pytest.raises(BuildFailed, match="every_purchase_is_of_a_customer"):
            run_refresh(traded.settings)
        assert snapshot(connection) == published_rows
        connection.execute("drop trigger lose on building.customers")
        run_refresh(traded.settings, mode="rebuild")
        assert fetch(connection, "select count(*) from analytics.customers") == [(10,)]


def test_two_refreshes_cannot_run_at_once(traded: Database) -> None:
    with refresh_lock(traded.conninfo), pytest.raises(RefreshRunning, match="already"):
        run_refresh(traded.settings)
    run_refresh(traded.settings)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_refresh_that_died_after_any_step_is_simply_run_again(traded: Database, step: Step) -> None:
    class Died(Exception):
        pass

    def perform(current: Step, run: Run) -> None:
        current(run)
        if current is step:
            raise Died

    with traded.connect() as connection:
        connection.execute("update shop_orders set order_status = 'refunded' where total_price in (11, 15)")
        with pytest.raises(Died):
            run_refresh(traded.settings, perform=perform)
        connection.execute("update shop_orders set total_price = 99 where total_price in (12, 15)")
        assert run_refresh(traded.settings).mode == "refresh"
        _assert_equal_to_a_rebuild(traded, connection)


def test_a_refresh_killed_at_random_moments_is_simply_run_again(traded: Database) -> None:
    random = Random(20260314)
    killed = 0
    with traded.connect() as connection:
        for number in range(6):
            is_dbts = number % 2 == 0
            if is_dbts:
                plan_file(traded.settings).unlink(missing_ok=True)
            connection.execute(
                "update shop_orders set total_price = total_price + 1, "
                "order_status = case when random() < 0.3 then 'refunded' else 'completed' end "
                "where random() < 0.5"
            )
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-c",
                    _REFRESH_IN_A_PROCESS,
                    traded.conninfo,
                    str(traded.settings.home),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            assert process.stdout.readline() == "claimed\n"
            time.sleep(random.uniform(0, 3 if is_dbts else 0.4))
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
            process.communicate()
        assert killed > 0
        run_refresh(traded.settings)
        _assert_equal_to_a_rebuild(traded, connection)


_REFRESH_IN_A_PROCESS = """
import sys
from pathlib import Path
from flows.steps import run_refresh
from ingest.storage.settings import Settings

def perform(step, run):
    step(run)
    if step.__name__ == "claim_batch":
        print("claimed", flush=True)

run_refresh(Settings(DATABASE_URL=sys.argv[1], home=Path(sys.argv[2])), perform=perform)
"""


def test_after_a_rebuild_that_died_the_next_refresh_is_a_rebuild(traded: Database) -> None:
    def perform(step: Step, run: Run) -> None:
        step(run)
        if step.__name__ == "claim_batch":
            # Half of a rebuild: one mart is computed anew and writes no delta.
            run.connection.execute("update analytics.customers set total_spent = 0")
            raise KeyError

    with traded.connect() as connection:
        with pytest.raises(KeyError):
            run_refresh(traded.settings, mode="rebuild", perform=perform)
        assert run_refresh(traded.settings).mode == "rebuild"
        _assert_equal_to_a_rebuild(traded, connection)
        assert run_refresh(traded.settings).mode == "refresh"


def test_a_first_large_batch_over_empty_marts_is_not_compared_row_by_row(built: Database) -> None:
    """Planned for an empty table, the comparison would read for each row all that was inserted before it."""
    orders = 3_000
    with built.connect() as connection:
        connection.execute(
            "insert into shop_orders (shop_id, customer_phone, total_price, order_status, payment_status) "
            "select %s, '02455' || (10000 + number %% 700), 10, 'completed', 'completed' "
            "from generate_series(1, %s) as number",
            [add_shop(connection), orders],
        )
        assert run_refresh(built.settings).mode == "refresh"
        ((blocks,),) = fetch(
            connection,
            "select heap_blks_hit + heap_blks_read from pg_statio_user_tables "
            "where schemaname = 'building' and relname = 'orders'",
        )
        assert isinstance(blocks, int)
        assert orders / 100 < blocks < 20 * orders


@pytest.mark.usefixtures("counts_on_time")
def test_readers_never_miss_a_relation_or_wait_during_refreshes_and_a_rebuild(traded: Database) -> None:
    relations = [f"analytics.{name}" for name in ("orders", "customers", "shop_overview", "monthly_acquisition")]
    relations += ["analytics.reconciliation", "analytics.cohort_retention", "analytics.slug_analytics"]
    stop = threading.Event()
    failures: list[str] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        with traded.connect() as connection:
            connection.execute("set statement_timeout = '1s'")
            while not stop.is_set():
                for relation in relations:
                    try:
                        counted = fetch(connection, f"select count(*) from {relation}")
                    except psycopg.Error as error:
                        failures.append(f"{relation}: {error}")
                    else:
                        reads += 1
                        if counted == [(0,)]:
                            failures.append(f"{relation} is empty")
                    # The refresh is in this process, and would wait for the interpreter.
                    stop.wait(0.005)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with traded.connect() as connection:
            for mode in (None, "rebuild", None):
                connection.execute("update shop_orders set total_price = total_price + 1")
                run_refresh(traded.settings, mode=mode)  # type: ignore[arg-type]
    finally:
        stop.set()
        reader.join()
    assert failures == []
    assert reads > 100


def test_a_rebuild_mends_damage_in_place(traded: Database) -> None:
    with traded.connect() as connection:
        good = snapshot(connection)
        connection.execute("delete from analytics.orders where net_amount > 15")
        connection.execute("update analytics.customers set total_purchases = 7")
        connection.execute("update analytics.visits set slug = 'x'")
        assert snapshot(connection) != good
        run_refresh(traded.settings, mode="rebuild")
        assert snapshot(connection) == good


def test_models_that_changed_are_rebuilt(traded: Database) -> None:
    with traded.connect() as connection:
        connection.execute("update regulars.refreshes set fingerprint = 'older'")
        assert run_refresh(traded.settings).mode == "rebuild"
        assert run_refresh(traded.settings).mode == "refresh"


def _assert_equal_to_a_rebuild(database: Database, connection: Connection) -> None:
    refreshed = snapshot(connection)
    assert snapshot(connection, "building") == refreshed
    run_refresh(database.settings, mode="rebuild")
    assert snapshot(connection) == refreshed
