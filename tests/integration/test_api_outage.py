"""What an owner reads while the database is down, and that no request leaves anything to the next."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import LiteralString

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ingest.storage.connections import Connection
from ingest.storage.errors import SettingError
from ingest.storage.pool import NoneFree, NotConnected, Pool
from regulars.dashboard.app import create_app
from regulars.dashboard.errors import NoSuchShop, NotLoaded
from regulars.dashboard.queries.customers import customers
from regulars.dashboard.queries.filters import CustomerQuery
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.queries.shops import chosen_shop, own_shops
from regulars.dashboard.security.tokens import Owner
from tests.api import API, bearer
from tests.conftest import NAME, Database, Server
from tests.integration.test_command import regulars
from tests.owners import TwoOwners, copy_of, settings_of, two_owners
from tests.proxy import Proxy
from tests.served import served

pytestmark = pytest.mark.usefixtures("counts_on_time")

KOFI = f"{API}/analytics?shop=kofi-data"


@pytest.fixture(scope="module")
def owners(server: Server, built_template: str) -> TwoOwners:
    return two_owners(server, built_template)


@pytest.fixture(scope="module")
def copied(server: Server, owners: TwoOwners) -> Iterator[Database]:
    with copy_of(server, owners, name=f"{NAME}_outage") as database:
        yield database


@pytest.fixture
def reader(copied: Database) -> Iterator[Reader]:
    """With one connection, so that every transaction uses the previous one's."""
    reader = Reader(settings_of(copied, dashboard_connections=1, dashboard_timeout_ms=500))
    reader.open()
    yield reader
    reader.close()


def _assert_not_loaded(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["detail"] == "The numbers could not be loaded. Try again in a moment."


def test_without_the_database_requests_are_503_and_with_it_they_succeed_again(
    copied: Database, owners: TwoOwners
) -> None:
    with Proxy(copied.conninfo) as proxy:
        settings = settings_of(copied, dashboard_timeout_ms=300).model_copy(update={"database_url": proxy.conninfo})
        with served(create_app(settings), headers=bearer(settings, owners.kofi)) as client:
            known = client.get(KOFI)
            assert known.status_code == 200
            proxy.refuse()
            for path in ("analytics", "list", "cohorts", "export.csv"):
                began = time.monotonic()
                _assert_not_loaded(client.get(f"{API}/{path}"))
                assert time.monotonic() - began < 3
            assert client.get("/healthz").status_code == 200
            proxy.listen_again()
            deadline = time.monotonic() + 10
            while client.get(KOFI).status_code != 200 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert client.get(KOFI).json() == known.json()
            proxy.fault = "silent"
            began = time.monotonic()
            _assert_not_loaded(client.get(KOFI))
            assert time.monotonic() - began < 3
            proxy.fault = "none"
            proxy.cut()


def test_after_a_silence_with_more_requests_than_connections_the_next_request_succeeds_at_once(
    copied: Database, owners: TwoOwners
) -> None:
    with Proxy(copied.conninfo) as proxy:
        settings = settings_of(copied, dashboard_timeout_ms=3000).model_copy(update={"database_url": proxy.conninfo})
        with served(create_app(settings), headers=bearer(settings, owners.kofi)) as client:
            began = time.monotonic()
            assert client.get(KOFI).status_code == 200
            usual = time.monotonic() - began
            proxy.fault = "silent"
            began = time.monotonic()
            with ThreadPoolExecutor(100) as threads:
                statuses = [answer.status_code for answer in threads.map(client.get, [KOFI] * 150)]
            # An owner's many requests wait for each other, too.
            assert {503} <= set(statuses) <= {503, 429}
            # Each batch of forty threads waits a second for a connection; the threads that open one wait two more.
            assert time.monotonic() - began < 30
            proxy.fault = "none"
            proxy.cut()
            began = time.monotonic()
            assert client.get(KOFI).status_code == 200
            assert time.monotonic() - began < 1 + 5 * usual
            time.sleep(2)
            assert {client.get(KOFI).status_code for _ in range(20)} == {200}


def test_an_attempt_to_connect_from_before_a_caller_came_does_not_fail_that_caller(copied: Database) -> None:
    with Proxy(copied.conninfo) as proxy:
        pool = Pool(proxy.conninfo, size=2, application="regulars-test", seconds_to_connect=10)
        proxy.fault = "silent"
        with pytest.raises(NotConnected), pool.connection(timeout=0.1):
            pass
        with ThreadPoolExecutor(1) as threads:
            caller = threads.submit(_answer, pool)
            proxy.wait_for(connections=2)
            proxy.cut(connections=1)
            with pytest.raises(TimeoutError):
                caller.result(timeout=0.5)
            proxy.fault = "none"
            assert caller.result(timeout=10) == (1,)
        pool.close()


def _answer(pool: Pool) -> tuple[int] | None:
    with pool.connection(timeout=10) as connection:
        return connection.execute("select 1").fetchone()


def test_a_connection_that_was_terminated_or_is_in_a_transaction_or_is_old_is_replaced(copied: Database) -> None:
    pool = Pool(copied.conninfo, size=1, application="regulars-test")

    def backend(statement: LiteralString | None = None) -> int:
        with pool.connection(timeout=1) as connection:
            if statement:
                connection.execute(statement)
            return connection.info.backend_pid

    first = backend()
    assert backend() == first
    with copied.connect() as other:
        other.execute("select pg_terminate_backend(%s, 5000)", [first])
    second = backend()
    assert second != first
    assert backend("begin") == second
    third = backend()
    assert third != second
    with pool.connection(timeout=1) as connection, pytest.raises(NoneFree), pool.connection(timeout=0.1):
        pass
    connection.opened_at -= 3601  # type: ignore[attr-defined]
    assert backend() == third
    assert backend() != third
    pool.close()
    with pytest.raises(NoneFree):
        backend()


def test_the_dashboard_starts_while_the_database_is_down(copied: Database, owners: TwoOwners) -> None:
    settings = settings_of(copied).model_copy(update={"database_url": "host=127.0.0.1 port=1"})
    with served(create_app(settings), headers=bearer(settings, owners.kofi)) as client:
        _assert_not_loaded(client.get(KOFI))


def test_a_request_that_waits_too_long_for_a_lock_or_a_connection_is_503(copied: Database, owners: TwoOwners) -> None:
    settings = settings_of(copied, dashboard_connections=1, dashboard_timeout_ms=2000)
    with served(create_app(settings), headers=bearer(settings, owners.kofi)) as client, copied.connect() as other:
        with other.transaction():
            other.execute("lock table analytics.customers in access exclusive mode")
            with ThreadPoolExecutor() as threads:
                began = time.monotonic()
                for answer in threads.map(client.get, [f"{API}/list"] * 3):
                    _assert_not_loaded(answer)
                assert time.monotonic() - began < 3
        assert client.get(KOFI).status_code == 200


def test_a_query_that_takes_too_long_is_cancelled(reader: Reader, owners: TwoOwners) -> None:
    began = time.monotonic()
    with pytest.raises(NotLoaded), reader.as_owner(Owner(str(owners.kofi))) as connection:
        connection.execute("select pg_sleep(20)")
    assert time.monotonic() - began < 1.5
    assert _nobody(reader)


def _held(connection: Connection) -> tuple[object, ...]:
    row = connection.execute(
        "select current_user, coalesce(current_setting('request.jwt.claims', true), ''), "
        "current_setting('statement_timeout'), current_setting('transaction_read_only'), pg_backend_pid()"
    ).fetchone()
    assert row is not None
    return row


def _nobody(reader: Reader) -> bool:
    """Whether the pool's connection has no owner's settings."""
    assert reader._pool is not None
    with reader._pool.connection(timeout=1) as connection:
        user, claims, timeout, is_read_only, _ = _held(connection)
        shops = connection.execute("select regulars.own_shops()").fetchone()
    return (user, claims, timeout, is_read_only, shops) == ("postgres", "", "0", "off", ([],))


class _StopsHere(Exception):
    pass


def test_a_request_leaves_nothing_to_the_next_however_it_ends(reader: Reader, owners: TwoOwners) -> None:
    ama, kofi = Owner(str(owners.ama)), Owner(str(owners.kofi))
    with reader.as_owner(ama) as connection:
        user, claims, timeout, is_read_only, backend = _held(connection)
        assert (user, timeout, is_read_only) == ("regulars_owner", "500ms", "on")
        assert str(owners.ama) in str(claims)
        assert len(own_shops(connection)) == 2
    assert _nobody(reader)
    with pytest.raises(_StopsHere), reader.as_owner(ama):
        raise _StopsHere
    assert _nobody(reader)
    with pytest.raises(NoSuchShop), reader.as_owner(kofi) as connection:
        chosen_shop(connection, "ama-data")
    # An aborted transaction, with the error raised to the caller or handled inside.
    with pytest.raises(psycopg.errors.DivisionByZero), reader.as_owner(ama) as connection:
        connection.execute("select 1 / 0")
    with reader.as_owner(ama) as connection, pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("select 1 / 0")
    assert _nobody(reader)
    with reader.as_owner(kofi) as connection:
        assert [shop.shop_slug for shop in own_shops(connection)] == ["kofi-data"]
        assert _held(connection)[-1] == backend, "it was another connection: this proves nothing"


@pytest.mark.parametrize(
    "sub", ["", "'; reset role; --", "\\'", '"}', "{}", "%s", "x" * 255, "00000000-0000-0000-0000-000000000000"]
)
def test_a_sub_that_is_sql_owns_no_shop(reader: Reader, sub: str) -> None:
    with reader.as_owner(Owner(sub)) as connection:
        assert own_shops(connection) == []


def test_an_owner_reads_whatever_the_servers_settings_are(copied: Database, owners: TwoOwners) -> None:
    odd = make_conninfo(copied.conninfo, options="-c row_security=off -c timezone=Asia/Tokyo -c jit=on")
    reader = Reader(settings_of(copied).model_copy(update={"database_url": odd}))
    reader.open()
    with reader.as_owner(Owner(str(owners.kofi))) as connection:
        page = customers(connection, chosen_shop(connection, None), CustomerQuery())
        assert page.total == len(page.customers) == len(owners.shops["kofi-data"].buyers)
        assert page.customers[0].last_purchase_at.utcoffset() == timedelta(0)
    reader.close()


def test_an_owner_can_not_write_or_read_outside_the_dashboard_views(reader: Reader, owners: TwoOwners) -> None:
    for statement in (
        "delete from dashboard.customer_contacts",
        "update public.user_shops set shop_name = 'mine'",
        "select * from public.shop_orders",
        "select * from analytics.customers",
        "select * from regulars.refreshes",
    ):
        with (
            pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)),
            reader.as_owner(Owner(str(owners.kofi))) as connection,
        ):
            connection.execute(statement)  # type: ignore[arg-type]
    # A snapshot: later commits are invisible.
    with reader.as_owner(Owner(str(owners.kofi))) as connection:
        assert connection.execute("show transaction_isolation").fetchone() == ("repeatable read",)


def test_a_database_user_who_may_not_read_as_an_owner_gets_the_sql_to_run(copied: Database, owners: TwoOwners) -> None:
    name = "regulars_test_dashboard"
    with copied.connect() as admin:
        admin.execute(f"drop role if exists {name}")
        admin.execute(f"create role {name} login")
        try:
            theirs = make_conninfo(copied.conninfo, user=name)
            settings = settings_of(copied, dashboard_database_url=theirs)
            reader = Reader(settings)
            reader.open()
            with pytest.raises(SettingError, match=f'run grant "regulars_owner" to "{name}";'):
                reader.check()
            said = regulars(
                "dashboard", home=settings.home, database_url=copied.conninfo,
                REGULARS_JWT_SECRET="x" * 32, REGULARS_DASHBOARD_DATABASE_URL=theirs,
            )  # fmt: skip
            assert (said.returncode, f'grant "regulars_owner" to "{name}";' in said.stderr) == (1, True)
            with pytest.raises(NotLoaded), reader.as_owner(Owner(str(owners.kofi))):
                pass
            admin.execute(f"grant regulars_owner to {name}")
            reader.check()
            with reader.as_owner(Owner(str(owners.kofi))) as connection:
                assert chosen_shop(connection, None).shop_slug == "kofi-data"
            reader.close()
        finally:
            admin.execute(f"drop role {name}")
