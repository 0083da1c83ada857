"""An owner's slow requests are in nobody else's way, and those that need customers not in the way of the others."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from regulars.dashboard.app import create_app
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import Keys
from tests.api import API, bearer
from tests.conftest import NAME, Database, Server
from tests.owners import TwoOwners, copy_of, settings_of, two_owners
from tests.served import served
from tests.storefront import fetch
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("counts_on_time")


@pytest.fixture(scope="module")
def owners(server: Server, built_template: str) -> TwoOwners:
    return two_owners(server, built_template)


@pytest.fixture
def copied(server: Server, owners: TwoOwners) -> Iterator[Database]:
    with copy_of(server, owners, name=f"{NAME}_fair") as database:
        yield database


@pytest.fixture
def client(copied: Database) -> Iterator[httpx.Client]:
    """With the connections that the dashboard has by default."""
    settings = settings_of(copied)
    limits = httpx.Limits(max_connections=None)
    with (
        served(create_app(settings), headers={}) as first,
        httpx.Client(base_url=first.base_url, limits=limits, timeout=30) as client,
    ):
        yield client


def _slow_down(copied: Database, owners: TwoOwners) -> None:
    """Ama's repeat rates take a second and a half."""
    with copied.connect() as connection:
        connection.execute("alter view dashboard.repeat_rates rename to fast_rates")
        connection.execute(
            "create view dashboard.repeat_rates with (security_invoker = true) as select rates.* "
            "from dashboard.fast_rates as rates cross join lateral (select pg_sleep(case when rates.shop_id = "
            f"'{owners.shops['ama-data'].shop_id}' and rates.month = (select max(month) from dashboard.fast_rates "
            "where shop_id = rates.shop_id) then 1.5 else 0 end)) as slow"
        )
        connection.execute("grant select on dashboard.repeat_rates to regulars_owner")


@contextmanager
def _at_once(
    client: httpx.Client, copied: Database, path: str, headers: dict[str, str], *, times: int
) -> Iterator[list[Future[httpx.Response]]]:
    with ThreadPoolExecutor(times) as threads:
        under_way = [threads.submit(client.get, path, headers=headers) for _ in range(times)]
        _wait_for_sessions(copied, "wait_event = 'PgSleep'")
        yield under_way


def _wait_for_sessions(copied: Database, waiting: str) -> None:
    """Until two sessions of the dashboard wait so."""
    with copied.connect() as connection:
        query = f"select 1 from pg_stat_activity where datname = current_database() and {waiting}"
        wait_until(lambda: len(fetch(connection, query)) >= 2)


@pytest.mark.parametrize("times", [8, 100])
def test_another_owners_pages_answer_at_once_while_an_owners_slow_requests_are_under_way(
    client: httpx.Client, copied: Database, owners: TwoOwners, times: int
) -> None:
    _slow_down(copied, owners)
    settings = settings_of(copied)
    ama, kofi = bearer(settings, owners.ama), bearer(settings, owners.kofi)
    session = {COOKIE: Keys(settings).session(str(owners.kofi))}
    slow = f"{API}/repeat-rates?shop=ama-data"
    began = time.monotonic()
    assert client.get(slow, headers=ama).status_code == 200
    one = time.monotonic() - began
    with (
        httpx.Client(base_url=client.base_url, cookies=session, timeout=30) as browser,
        _at_once(client, copied, slow, ama, times=times) as under_way,
    ):
        for path in ("repeat-rates", "list", "analytics"):
            began = time.monotonic()
            assert client.get(f"{API}/{path}?shop=kofi-data", headers=kofi).status_code == 200
            assert time.monotonic() - began < one / 2, path
        began = time.monotonic()
        assert browser.get("/customers").status_code == 200
        assert time.monotonic() - began < one / 2
        assert not all(request.done() for request in under_way), "they were not slow: this proves nothing"
        answers = [request.result() for request in under_way]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert (refused.headers["content-type"], refused.headers["retry-after"]) == ("application/problem+json", "2")
    assert client.get(slow, headers=ama).status_code == 200, "nobody is refused for long"


def test_a_page_that_is_refused_says_so(client: httpx.Client, copied: Database, owners: TwoOwners) -> None:
    _slow_down(copied, owners)
    settings = settings_of(copied)
    headers = {"Cookie": f"{COOKIE}={Keys(settings).session(str(owners.ama))}"}
    with _at_once(client, copied, "/retention?shop=ama-data", headers, times=24) as under_way:
        answers = [request.result() for request in under_way]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "Too many pages at once" in refused.text
    assert refused.headers["retry-after"]


def test_numbers_do_not_wait_for_what_needs_customers(
    client: httpx.Client, copied: Database, owners: TwoOwners
) -> None:
    settings = settings_of(copied)
    ama, kofi = bearer(settings, owners.ama), bearer(settings, owners.kofi)
    with copied.connect() as other, other.transaction(), ThreadPoolExecutor(20) as threads:
        other.execute("lock table analytics.customers in access exclusive mode")
        waiting = [
            threads.submit(client.get, f"{API}/{path}", headers=headers)
            for path, headers in [("list?shop=ama-data", ama), ("list", kofi), ("export.csv?shop=ama-data", ama)] * 6
        ]
        _wait_for_sessions(copied, "wait_event_type = 'Lock'")
        for headers, shop in ((ama, "ama-data"), (kofi, "kofi-data")):
            for path in ("analytics", "acquisition", "cohorts", "slug-analytics"):
                began = time.monotonic()
                assert client.get(f"{API}/{path}?shop={shop}", headers=headers).status_code == 200
                assert time.monotonic() - began < 1, path
        assert not all(request.done() for request in waiting), "they did not wait: this proves nothing"
        assert {request.result().status_code for request in waiting} <= {429, 503}


@pytest.mark.parametrize("path", ["list", "at-risk", "{}/history", "/customers", "/customers/{}", "/segments"])
def test_who_reads_customers_takes_a_share_of_those(owners: TwoOwners, copied: Database, path: str) -> None:
    """Somebody else's thread holds the owner's share for the test."""
    app, shop = create_app(settings_of(copied)), owners.shops["kofi-data"]
    with copied.connect() as connection:
        row = connection.execute(
            "select shop_customer_id from analytics.customers where shop_id = %s limit 1", [shop.shop_id]
        ).fetchone()
        assert row
    settings = settings_of(copied)
    with served(app, headers=bearer(settings, owners.kofi)) as client:
        client.cookies.set(COOKIE, Keys(settings).session(str(owners.kofi)))
        address = (path if path.startswith("/") else f"{API}/{path}").format(row[0])
        with app.state.reader._shares.hold(str(owners.kofi), "customers", timeout=0):
            assert client.get(address).status_code == 429
            assert client.get(f"{API}/analytics").status_code == client.get("/").status_code == 200
        assert client.get(address).status_code == 200
