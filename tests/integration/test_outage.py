"""`regulars ingest-api` and `regulars dashboard` while PostgreSQL is really stopped and started."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr

from flows.steps import run_refresh
from ingest.storage.connections import connect
from ingest.storage.migrations import migrate
from ingest.storage.settings import Settings
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import Keys
from tests.api import API
from tests.owners import SECRET
from tests.served import run_command
from tests.stoppable import Stoppable, stoppable
from tests.storefront import add_order, add_shop

TOKEN = "the-token-of-the-storefront"
KEYS = Keys(Settings(jwt_secret=SecretStr(SECRET)))
OUTAGE_SECONDS = 8.0
"""Longer than all time-outs together: for a free connection (1 s), a new one (2 s) and a query (2 s here)."""

REQUESTS = 80
MORE_THAN_FIT = 60
"""Concurrent requests; the dashboard has 4 connections and 40 threads."""

OWNERS = 8
CLIENTS = 32
CLIENTS_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class House:
    server: Stoppable
    dashboard: httpx.Client
    ingest_api: httpx.Client
    shop: UUID
    owners: dict[UUID, str]
    """Owner -> the slug of their shop. Owner number n has n orders."""


@pytest.fixture(scope="module")
def house(home: Path, builds_models: None) -> Iterator[House]:  # noqa: ARG001
    owners = {uuid4(): f"shop-{number}" for number in range(1, OWNERS + 1)}
    with stoppable(home / "stoppable") as server:
        with connect(server.conninfo) as connection:
            migrate(connection)
            shops = [add_shop(connection, slug) for slug in owners.values()]
            for number, (shop, owner) in enumerate(zip(shops, owners, strict=True), start=1):
                connection.execute("update user_shops set user_id = %s where id = %s", [owner, shop])
                for _ in range(number):
                    add_order(connection, shop)
        run_refresh(server.settings)
        token = KEYS.api_token(str(next(iter(owners))), lasts=timedelta(hours=1))
        with (
            run_command(
                "dashboard", home=server.settings.home, database_url=server.conninfo,
                REGULARS_JWT_SECRET=SECRET, REGULARS_DASHBOARD_TIMEOUT_MS="2000",
            ) as (dashboard, _),
            run_command(
                "ingest-api", home=server.settings.home, database_url=server.conninfo, REGULARS_INGEST_TOKENS=TOKEN
            ) as (ingest_api, _),
            _client(dashboard, token) as for_owner,
            _client(ingest_api, TOKEN) as for_checkout,
        ):  # fmt: skip
            yield House(server, for_owner, for_checkout, shops[0], owners)


def _client(where: str, token: str) -> httpx.Client:
    limits = httpx.Limits(max_connections=MORE_THAN_FIT)
    return httpx.Client(base_url=where, headers={"Authorization": f"Bearer {token}"}, timeout=30, limits=limits)


def _analytics(house: House) -> int:
    return house.dashboard.get(f"{API}/analytics").status_code


def _statuses(house: House, *, requests: int, seconds: float) -> Counter[int]:
    """Sends requests at a steady rate without waiting for answers, as browsers do; counts the statuses."""
    with ThreadPoolExecutor(MORE_THAN_FIT) as threads:
        asked = []
        for _ in range(requests):
            asked.append(threads.submit(_analytics, house))
            time.sleep(seconds / requests)
        return Counter(each.result() for each in asked)


def _seconds_until(client: httpx.Client, path: str, *, status: int) -> float:
    began = time.monotonic()
    while client.get(path).status_code != status:
        assert time.monotonic() - began < 20, f"{path} has not returned {status} for 20 s"
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.usefixtures("counts_on_time")
def test_after_an_outage_the_dashboard_answers_again_at_once_and_goes_on_answering(house: House) -> None:
    assert _statuses(house, requests=MORE_THAN_FIT, seconds=2) == {200: MORE_THAN_FIT}
    usual = _seconds_until(house.dashboard, f"{API}/analytics", status=200)
    house.server.stop()
    try:
        # 429: more of one owner's requests than may wait at once.
        assert set(_statuses(house, requests=REQUESTS, seconds=OUTAGE_SECONDS)) in ({503}, {503, 429})
        # All at once, and more than there are threads.
        assert set(_statuses(house, requests=2 * MORE_THAN_FIT, seconds=0.1)) in ({503}, {503, 429})
    finally:
        house.server.start()
    assert _seconds_until(house.dashboard, f"{API}/analytics", status=200) < 1 + 5 * usual
    assert _statuses(house, requests=MORE_THAN_FIT, seconds=2) == {200: MORE_THAN_FIT}
    time.sleep(3)
    assert _statuses(house, requests=MORE_THAN_FIT, seconds=2) == {200: MORE_THAN_FIT}


def test_readyz_says_whether_the_database_answers_and_healthz_that_the_process_lives(house: House) -> None:
    both = (house.dashboard, house.ingest_api)
    ready = {house.dashboard: {"database": "up"}, house.ingest_api: {"database": "up", "spool": "up"}}

    def assert_answers(status: int, word: str, changes: dict[str, str]) -> None:
        for client in both:
            answer = client.get("/readyz", headers={"Authorization": ""})
            assert (answer.status_code, answer.json()) == (status, {"status": word} | ready[client] | changes)
            assert answer.headers["cache-control"] == "no-store"
            assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (200, {"status": "ok"})

    assert_answers(200, "ready", {})
    house.server.stop()
    try:
        assert_answers(503, "not ready", {"database": "down"})
        # Not ready, but it still takes events, and spools them.
        event = {"shop_id": str(house.shop), "order_id": str(uuid4()), "phone": "0241234567"}
        spooled = house.ingest_api.post("/api/ingest/checkouts", json=event)
        assert (spooled.status_code, spooled.json()["outcome"]) == (202, "spooled")
    finally:
        house.server.start()
    assert_answers(200, "ready", {})


def test_thirty_two_clients_read_their_own_shop_alone_while_the_server_is_restarted(house: House) -> None:
    until = time.monotonic() + CLIENTS_SECONDS
    owners = list(house.owners)

    def read_on(number: int) -> Counter[tuple[str, int]]:
        orders = number % OWNERS + 1
        owner = owners[orders - 1]
        mine = house.owners[owner].title()
        others = [slug.title() for slug in house.owners.values() if slug.title() != mine]
        statuses: Counter[tuple[str, int]] = Counter()
        with _client(str(house.dashboard.base_url), KEYS.api_token(str(owner), lasts=timedelta(hours=1))) as client:
            client.cookies.set(COOKIE, KEYS.session(str(owner)))
            while time.monotonic() < until:
                for path in (f"{API}/analytics", f"{API}/list", "/", "/customers"):
                    answer = client.get(path)
                    statuses[path, answer.status_code] += 1
                    if answer.status_code != 200:
                        assert answer.status_code in (503, 429), answer.text
                    elif path == f"{API}/analytics":
                        assert answer.json()["total_orders"] == orders
                    elif path == f"{API}/list":
                        assert [row["total_purchases"] for row in answer.json()["customers"]] == [orders]
                    else:
                        assert mine in answer.text
                        assert not [shop for shop in others if shop in answer.text]
        return statuses

    with ThreadPoolExecutor(CLIENTS) as threads:
        reading = [threads.submit(read_on, number) for number in range(CLIENTS)]
        time.sleep(CLIENTS_SECONDS / 2)
        house.server.stop()
        time.sleep(1)
        house.server.start()
        statuses = sum((each.result() for each in reading), Counter[tuple[str, int]]())
    paths = {path for path, _ in statuses}
    assert len(paths) == 4
    assert all(statuses[path, 200] and statuses[path, 503] for path in paths), statuses
