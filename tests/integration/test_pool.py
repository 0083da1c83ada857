"""The pool: no more connections than its size, no longer waits than the caller allows, nothing left after an outage."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.spool.outage import is_outage
from ingest.storage.pool import NoneFree, NotConnected, Pool
from tests.conftest import Database
from tests.proxy import Proxy
from tests.storefront import fetch

SIZE = 3
APPLICATION = "regulars-test-pool"


@pytest.fixture
def proxy(migrated: Database) -> Iterator[Proxy]:
    with Proxy(migrated.conninfo) as proxy:
        yield proxy


@pytest.fixture
def pool(proxy: Proxy) -> Iterator[Pool]:
    pool = Pool(proxy.conninfo, size=SIZE, application=APPLICATION)
    yield pool
    pool.close()


def test_many_threads_share_no_more_connections_than_the_pools_size(migrated: Database, pool: Pool) -> None:
    together = threading.Barrier(20)

    def use(_: int) -> int:
        together.wait()
        with pool.connection(timeout=20) as connection:
            connection.execute("select pg_sleep(0.05)")
            return connection.info.backend_pid

    with ThreadPoolExecutor(20) as threads:
        backends = list(threads.map(use, range(20)))
    assert len(set(backends)) <= SIZE
    with migrated.connect() as connection:
        query = "select count(*) from pg_stat_activity where application_name = %s"
        assert fetch(connection, query, APPLICATION)[0] <= (SIZE,)


def test_a_caller_gives_up_in_time_while_connecting_takes_longer(proxy: Proxy, pool: Pool) -> None:
    proxy.fault = "silent"
    began = time.monotonic()
    with pytest.raises(NotConnected) as given_up, pool.connection(timeout=0.2):
        pass
    assert time.monotonic() - began < 1.5, "it waited for the time-out of the connection, which is 2 s"
    assert is_outage(given_up.value)
    proxy.fault = "none"
    with pool.connection(timeout=5) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_refused_connection_is_an_error_at_once(proxy: Proxy, pool: Pool) -> None:
    proxy.refuse()
    began = time.monotonic()
    with pytest.raises(NotConnected), pool.connection(timeout=20):
        pass
    assert time.monotonic() - began < 10
    proxy.listen_again()
    with pool.connection(timeout=5) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_pool_whose_connections_are_all_in_use_is_no_outage(pool: Pool) -> None:
    with pool.connection(timeout=5), pool.connection(timeout=5), pool.connection(timeout=5):
        with pytest.raises(NoneFree) as busy, pool.connection(timeout=0.1):
            pass
        assert not is_outage(busy.value)
    with pool.connection(timeout=5) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_closed_pool_lends_nothing_until_it_is_reopened(migrated: Database, pool: Pool) -> None:
    with pool.connection(timeout=5):
        pool.close()
        with pytest.raises(NoneFree), pool.connection(timeout=5):
            pass
    with migrated.connect() as connection:
        query = "select count(*) from pg_stat_activity where application_name = %s"
        for _ in range(100):
            if fetch(connection, query, APPLICATION) == [(0,)]:
                break
            time.sleep(0.05)
        assert fetch(connection, query, APPLICATION) == [(0,)], "a connection that was lent while it closed is open"
    pool.reopen()
    with pool.connection(timeout=5) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
