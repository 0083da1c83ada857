"""What an owner is told when the database can't answer, and that nothing of one request is left for the next."""

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
from ingest.storage.pool import NoneFree, Pool
from regulars.dashboard.api.schemas import CustomerQuery
from regulars.dashboard.app import create_app
from regulars.dashboard.errors import NoSuchShop, NotLoaded
from regulars.dashboard.queries import shop as questions
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.security.tokens import Owner
from tests.conftest import NAME, Database, Server
from tests.integration.test_api import API, bearer
from tests.integration.test_command import regulars
from tests.owners import World, copy_of, settings_of, world
from tests.proxy import Proxy
from tests.served import served

KOFI = f"{API}/analytics?shop=kofi-data"


@pytest.fixture(scope="module")
def made(server: Server, built_template: str) -> World:
    return world(server, built_template)


@pytest.fixture(scope="module")
def copied(server: Server, made: World) -> Iterator[Database]:
    with copy_of(server, made, name=f"{NAME}_outage") as database:
        yield database


@pytest.fixture
def reader(copied: Database) -> Iterator[Reader]:
    """With one connection, so that each transaction has the one that had the transaction before."""
    reader = Reader(settings_of(copied, dashboard_connections=1, dashboard_timeout_ms=500))
    reader.open()
    yield reader
    reader.close()


def _assert_not_loaded(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["detail"] == "The numbers could not be loaded. Try again in a moment."


def test_without_the_database_nothing_is_loaded_and_with_it_again_everything(copied: Database, made: World) -> None:
    with Proxy(copied.conninfo) as proxy:
        settings = settings_of(copied, dashboard_timeout_ms=300).model_copy(update={"database_url": proxy.conninfo})
        with served(create_app(settings), headers=bearer(settings, made.kofi)) as client:
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


def test_after_a_silence_with_more_requests_than_fit_the_next_is_answered_at_once(
    copied: Database, made: World
) -> None:
    with Proxy(copied.conninfo) as proxy:
        settings = settings_of(copied, dashboard_timeout_ms=3000).model_copy(update={"database_url": proxy.conninfo})
        with served(create_app(settings), headers=bearer(settings, made.kofi)) as client:
            began = time.monotonic()
            assert client.get(KOFI).status_code == 200
            usual = time.monotonic() - began
            proxy.fault = "silent"
            began = time.monotonic()
            with ThreadPoolExecutor(100) as threads:
                statuses = [answer.status_code for answer in threads.map(client.get, [KOFI] * 150)]
            assert set(statuses) == {503}
            # Each batch of forty threads waits a second for a connection; those that open one, two more.
            assert time.monotonic() - began < 30
            proxy.fault = "none"
            proxy.cut()
            began = time.monotonic()
            assert client.get(KOFI).status_code == 200
            assert time.monotonic() - began < 1 + 5 * usual
            time.sleep(2)
            assert {client.get(KOFI).status_code for _ in range(20)} == {200}


def test_a_connection_that_was_ended_or_left_in_a_transaction_or_is_old_is_replaced(copied: Database) -> None:
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


def test_a_database_that_is_down_when_it_starts_is_no_reason_not_to_start(copied: Database, made: World) -> None:
    settings = settings_of(copied).model_copy(update={"database_url": "host=127.0.0.1 port=1"})
    with served(create_app(settings), headers=bearer(settings, made.kofi)) as client:
        _assert_not_loaded(client.get(KOFI))


def test_who_waits_too_long_for_a_lock_or_a_connection_is_told_so(copied: Database, made: World) -> None:
    settings = settings_of(copied, dashboard_connections=1, dashboard_timeout_ms=2000)
    with served(create_app(settings), headers=bearer(settings, made.kofi)) as client, copied.connect() as other:
        with other.transaction():
            other.execute("lock table analytics.customers in access exclusive mode")
            with ThreadPoolExecutor() as threads:
                began = time.monotonic()
                for answer in threads.map(client.get, [f"{API}/list"] * 3):
                    _assert_not_loaded(answer)
                assert time.monotonic() - began < 3
        assert client.get(KOFI).status_code == 200


def test_a_query_ends_when_its_time_is_up(reader: Reader, made: World) -> None:
    began = time.monotonic()
    with pytest.raises(NotLoaded), reader.as_owner(Owner(str(made.kofi))) as connection:
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
    """Whether the pool's connection is nobody's again."""
    assert reader._pool is not None
    with reader._pool.connection(timeout=1) as connection:
        user, claims, timeout, is_read_only, _ = _held(connection)
        shops = connection.execute("select regulars.own_shops()").fetchone()
    return (user, claims, timeout, is_read_only, shops) == ("postgres", "", "0", "off", ([],))


class _StopsHere(Exception):
    pass


def test_nothing_of_a_request_is_left_for_the_next_whatever_became_of_it(reader: Reader, made: World) -> None:
    ama, kofi = Owner(str(made.ama)), Owner(str(made.kofi))
    with reader.as_owner(ama) as connection:
        user, claims, timeout, is_read_only, backend = _held(connection)
        assert (user, timeout, is_read_only) == ("regulars_owner", "500ms", "on")
        assert str(made.ama) in str(claims)
        assert len(questions.own_shops(connection)) == 2
    assert _nobody(reader)
    with pytest.raises(_StopsHere), reader.as_owner(ama):
        raise _StopsHere
    assert _nobody(reader)
    with pytest.raises(NoSuchShop), reader.as_owner(kofi) as connection:
        questions.chosen_shop(connection, "ama-data")
    # An aborted transaction, seen by the caller or swallowed by it.
    with pytest.raises(psycopg.errors.DivisionByZero), reader.as_owner(ama) as connection:
        connection.execute("select 1 / 0")
    with reader.as_owner(ama) as connection, pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("select 1 / 0")
    assert _nobody(reader)
    with reader.as_owner(kofi) as connection:
        assert [shop.shop_slug for shop in questions.own_shops(connection)] == ["kofi-data"]
        assert _held(connection)[-1] == backend, "it was another connection: nothing is shown"


@pytest.mark.parametrize(
    "sub", ["", "'; reset role; --", "\\'", '"}', "{}", "%s", "x" * 255, "00000000-0000-0000-0000-000000000000"]
)
def test_a_name_that_is_sql_is_nobody(reader: Reader, sub: str) -> None:
    with reader.as_owner(Owner(sub)) as connection:
        assert questions.own_shops(connection) == []


def test_an_owner_is_answered_whatever_the_servers_settings_are(copied: Database, made: World) -> None:
    odd = make_conninfo(copied.conninfo, options="-c row_security=off -c timezone=Asia/Tokyo -c jit=on")
    reader = Reader(settings_of(copied).model_copy(update={"database_url": odd}))
    reader.open()
    with reader.as_owner(Owner(str(made.kofi))) as connection:
        page = questions.customers(connection, questions.chosen_shop(connection, None), CustomerQuery())
        assert page.total == len(page.customers) == len(made.shops["kofi-data"].buyers)
        assert page.customers[0].last_purchase_at.utcoffset() == timedelta(0)
    reader.close()


def test_an_owner_can_neither_write_nor_see_what_is_not_the_dashboards(reader: Reader, made: World) -> None:
    for statement in (
        "delete from dashboard.customer_contacts",
        "update public.user_shops set shop_name = 'mine'",
        "select * from public.shop_orders",
        "select * from analytics.customers",
        "select * from regulars.refreshes",
    ):
        with (
            pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)),
            reader.as_owner(Owner(str(made.kofi))) as connection,
        ):
            connection.execute(statement)  # type: ignore[arg-type]
    # A snapshot: what is committed in the middle of it is not seen.
    with reader.as_owner(Owner(str(made.kofi))) as connection:
        assert connection.execute("show transaction_isolation").fetchone() == ("repeatable read",)


def test_a_user_who_may_not_read_as_an_owner_is_told_the_sql_to_run(copied: Database, made: World) -> None:
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
            with pytest.raises(NotLoaded), reader.as_owner(Owner(str(made.kofi))):
                pass
            admin.execute(f"grant regulars_owner to {name}")
            reader.check()
            with reader.as_owner(Owner(str(made.kofi))) as connection:
                assert questions.chosen_shop(connection, None).shop_slug == "kofi-data"
            reader.close()
        finally:
            admin.execute(f"drop role {name}")
