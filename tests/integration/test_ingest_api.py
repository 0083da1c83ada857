"""The ingest API on a real server and a real database: tokens, answers, what is stored, and what is logged."""

import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from ingest.storage.settings import Settings
from regulars.ingest_api.app import create_app
from regulars.ingest_api.bodies import MOST_BYTES
from regulars.web.logs import JsonLines
from tests.conftest import Database
from tests.proxy import Fault, Proxy
from tests.served import run_as_a_process, served
from tests.storefront import add_order, add_shop, fetch
from tests.waiting import wait_until

TOKEN = "the-token-of-the-storefront"
NEXT = "the-token-that-comes-next"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
_TOKENS = (SecretStr(TOKEN), SecretStr(NEXT))
CHECKOUTS = "/api/ingest/checkouts"
VISITS = "/api/ingest/visits"


@pytest.fixture
def settings(migrated: Database, tmp_path: Path) -> Settings:
    return Settings(DATABASE_URL=migrated.conninfo, home=tmp_path, ingest_tokens=_TOKENS, track_budget_ms=5000)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def client(app: FastAPI) -> Iterator[httpx.Client]:
    with served(app, headers=SHOWN) as client:
        yield client


@pytest.fixture(scope="module")
def no_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API without a database, for requests that never reach one."""
    where = {"DATABASE_URL": "host=127.0.0.1 port=1", "home": tmp_path_factory.mktemp("no-database")}
    with served(create_app(Settings(**where, ingest_tokens=_TOKENS)), headers=SHOWN) as client:
        yield client


@pytest.fixture
def shop(migrated: Database) -> UUID:
    with migrated.connect() as connection:
        return add_shop(connection)


def _orders(database: Database, shop: UUID, number: int) -> list[str]:
    with database.connect() as connection:
        return [str(add_order(connection, shop)) for _ in range(number)]


def _process(database: Database, home: Path) -> AbstractContextManager[tuple[str, Path]]:
    return run_as_a_process(home=home, database_url=database.conninfo, tokens=f"{NEXT},{TOKEN}")


def _rows(database: Database, query: str, *parameters: object) -> list[tuple[object, ...]]:
    with database.connect() as connection:
        return fetch(connection, query, *parameters)


@pytest.mark.parametrize("path", [CHECKOUTS, VISITS])
@pytest.mark.parametrize(
    "authorization", ["", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer tökén"]
)
def test_a_request_without_a_valid_token_is_refused(no_database: httpx.Client, path: str, authorization: str) -> None:
    answer = no_database.post(path, json={"shop_id": "0241234567"}, headers={"Authorization": authorization.encode()})  # type: ignore[dict-item]
    _assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_two_tokens_are_valid_at_once_so_that_one_can_replace_the_other(client: httpx.Client, shop: UUID) -> None:
    for token in (TOKEN, NEXT):
        answer = client.post(VISITS, json={"shop_id": str(shop)}, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 201


def test_a_checkout_completes_the_visit_whose_id_it_holds(migrated: Database, client: httpx.Client, shop: UUID) -> None:
    (order,) = _orders(migrated, shop, 1)
    visit = client.post(VISITS, json={"shop_id": str(shop), "slug": "promo"})
    assert (visit.status_code, visit.json()["outcome"]) == (201, "noted")
    event = {"shop_id": str(shop), "order_id": order, "phone": "024 123 4567", "visit_id": visit.json()["visit_id"]}
    bought = client.post(CHECKOUTS, json=event)
    assert (bought.status_code, bought.json()["outcome"]) == (200, "new_customer")
    assert bought.json()["visit_id"] == visit.json()["visit_id"]
    assert _rows(migrated, "select shop_order_id::text, accessed_via_slug from regulars.tracking") == [(order, "promo")]
    assert client.post(CHECKOUTS, json=event | {"phone": "+233241234567"}).json()["outcome"] == "replayed"


def test_other_facts_are_a_conflict_and_an_unreadable_phone_has_a_reason(
    migrated: Database, client: httpx.Client, shop: UUID
) -> None:
    first, second = _orders(migrated, shop, 2)
    event = {"shop_id": str(shop), "order_id": first, "phone": "0241234567"}
    client.post(CHECKOUTS, json=event)
    conflict = client.post(CHECKOUTS, json=event | {"phone": "0209876543"})
    assert (conflict.status_code, conflict.json()["outcome"]) == (200, "conflict")
    absurd = client.post(CHECKOUTS, json=event | {"order_id": second, "phone": "9" * 300})
    assert (absurd.status_code, absurd.json()["outcome"]) == (200, "unreadable")
    assert absurd.json()["reason"] == "too long for a phone"
    assert _rows(migrated, "select reason from regulars.unreadable_phones") == [("too long for a phone",)]


def test_a_name_cut_in_the_middle_of_an_emoji_does_not_refuse_a_purchase(
    migrated: Database, client: httpx.Client, shop: UUID
) -> None:
    (order,) = _orders(migrated, shop, 1)
    body = (
        f'{{"shop_id": "{shop}", "order_id": "{order}", "phone": "0241234567", "customer_name": "Ama \\ud83d\\u0000"}}'
    )
    answer = client.post(CHECKOUTS, content=body, headers={"Content-Type": "application/json"})
    assert answer.json()["outcome"] == "new_customer"
    assert _rows(migrated, "select customer_name from regulars.customers") == [("Ama",)]


def test_an_invalid_event_of_a_batch_is_named_and_does_not_affect_the_others(
    migrated: Database, client: httpx.Client, shop: UUID
) -> None:
    orders = _orders(migrated, shop, 3)
    events = [{"shop_id": str(shop), "order_id": order, "phone": "0241234567"} for order in orders]
    bad = {"shop_id": str(shop), "order_id": "0241234567", "slug": "s" * 301}
    answer = client.post(CHECKOUTS, json={"checkouts": [events[0], bad, events[1], 7, events[2]]})
    assert answer.status_code == 207
    answers = answer.json()["answers"]
    assert [one["outcome"] for one in answers] == [
        "new_customer", "invalid", "returning_customer", "invalid", "returning_customer",
    ]  # fmt: skip
    assert answers[1]["errors"] == [
        {"pointer": "#/checkouts/1/slug", "detail": "is longer than 300 characters"},
        {"pointer": "#/checkouts/1/order_id", "detail": "is not a UUID"},
    ]
    assert answers[3]["errors"] == [{"pointer": "#/checkouts/3", "detail": "is not an object"}]
    again = client.post(CHECKOUTS, json={"checkouts": events})
    assert (again.status_code, {one["outcome"] for one in again.json()["answers"]}) == (200, {"replayed"})
    assert _rows(migrated, "select count(*) from regulars.tracking") == [(3,)]
    visits = client.post(VISITS, json={"visits": [{"shop_id": str(shop)}] * 2}).json()["answers"]
    assert len({one["visit_id"] for one in visits}) == 2


_SHOP = str(uuid4())
_EVENT = {"shop_id": _SHOP, "order_id": str(uuid4()), "phone": "0241234567"}


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"order_id": _SHOP}, "#/shop_id", "is missing"),
        (_EVENT | {"phone": 241234567}, "#/phone", "is not text"),
        (_EVENT | {"phone": "0" * 301}, "#/phone", "is longer than 300 characters"),
        (_EVENT | {"referrer": "r" * 2001}, "#/referrer", "is longer than 2000 characters"),
        (_EVENT | {"shop_id": "\ud800"}, "#/shop_id", "is not a UUID"),
        (_EVENT | {"accessed_at": 20260314}, "#/accessed_at", "is not a time such as 2026-03-14T12:00:00Z"),
        (_EVENT | {"accessed_at": "2026-03-14T99:00:00Z"}, "#/accessed_at", "is not a time such as"),
        (_EVENT | {"accessed_at": "9999-03-14T12:00:00Z"}, "#/accessed_at", "is not in this century"),
        (_EVENT | {"Ama Boateng": "0241234567"}, "#", "holds a field that is not known"),
        ({"checkouts": [], "Ama Boateng": 1}, "#", "holds an unknown field beside checkouts"),
        ({"checkouts": []}, "#/checkouts", "holds 0 events"),
        ({"checkouts": [_EVENT] * 101}, "#/checkouts", "holds 101 events"),
        ({"checkouts": "0241234567"}, "#/checkouts", "is not a list"),
        ("Ama Boateng", "#", "is not an object"),
        (None, "#", "is not an object"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_problem_that_names_the_field_and_not_the_value(
    no_database: httpx.Client, body: object, pointer: str, detail: str
) -> None:
    answer = no_database.post(CHECKOUTS, content=json.dumps(body), headers={"Content-Type": "application/json"})
    (error,) = _assert_problem(answer, 422)["errors"]
    assert error["pointer"] == pointer
    assert error["detail"].startswith(detail)


def test_a_body_that_is_not_json_or_too_long_and_an_unknown_path_are_problems(no_database: httpx.Client) -> None:
    as_json = {"Content-Type": "application/json; charset=utf-8"}
    for body in (b"0241234567 is Ama Boateng", b"\xff", b"[" * 100_000, b"9" * 5000):
        _assert_problem(no_database.post(CHECKOUTS, content=body, headers=as_json), 422)
    _assert_problem(no_database.post(CHECKOUTS, data={"phone": "0241234567"}), 415)
    _assert_problem(no_database.post(CHECKOUTS, content=b" " * (MOST_BYTES + 1), headers=as_json), 413)
    # Without a declared length it is counted as it arrives.
    _assert_problem(no_database.post(CHECKOUTS, content=(b" " * 65536 for _ in range(17)), headers=as_json), 413)
    _assert_problem(no_database.get("/api/ingest/0241234567"), 404)
    assert no_database.get(CHECKOUTS).headers["allow"] == "POST"
    _assert_problem(no_database.get(CHECKOUTS), 405)


def _assert_problem(answer: httpx.Response, status: int) -> dict[str, list[dict[str, str]]]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    for private in _PRIVATE:
        assert private not in answer.text
    return problem  # type: ignore[no-any-return]


def test_events_are_spooled_while_the_database_is_down_and_counted_once_afterwards(
    migrated: Database, settings: Settings, shop: UUID
) -> None:
    orders = _orders(migrated, shop, 5)
    events = [{"shop_id": str(shop), "order_id": order, "phone": "0241234567"} for order in orders]
    with Proxy(migrated.conninfo) as proxy:
        behind = settings.model_copy(update={"database_url": proxy.conninfo, "track_budget_ms": 2000})
        with served(create_app(behind), headers=SHOWN) as client:
            assert client.post(CHECKOUTS, json=events[0]).status_code == 200
            proxy.refuse()
            one = client.post(CHECKOUTS, json=events[1])
            assert (one.status_code, one.json()["outcome"]) == (202, "spooled")
            many = client.post(CHECKOUTS, json={"checkouts": events[2:]})
            assert [answer["outcome"] for answer in many.json()["answers"]] == ["spooled"] * 3
            assert _metric(client, "regulars_spool_events") == 4
            assert client.get("/healthz").status_code == 200
            assert client.head("/healthz").status_code == 200
            proxy.listen_again()
            wait_until(lambda: _metric(client, "regulars_spool_events") == 0)
            assert client.post(CHECKOUTS, json={"checkouts": events}).status_code == 200
    assert _rows(migrated, "select count(*), count(distinct shop_order_id) from regulars.tracking") == [(5, 5)]


@pytest.mark.usefixtures("counts_on_time")
def test_a_batch_waits_one_budget_for_a_silent_database_and_not_one_per_event(
    migrated: Database, settings: Settings, shop: UUID
) -> None:
    events = [{"shop_id": str(shop), "order_id": order} for order in _orders(migrated, shop, 20)]
    with Proxy(migrated.conninfo) as proxy:
        behind = settings.model_copy(update={"database_url": proxy.conninfo, "track_budget_ms": 250})
        with served(create_app(behind), headers=SHOWN) as client:
            client.post(CHECKOUTS, json=events[0])
            proxy.fault = "silent"
            began = time.monotonic()
            answers = client.post(CHECKOUTS, json={"checkouts": events}).json()["answers"]
            assert time.monotonic() - began < 1.5
            assert {answer["outcome"] for answer in answers} == {"spooled"}
            proxy.fault = "none"
            proxy.cut()


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_batch_whose_connection_is_cut_counts_once(
    migrated: Database, settings: Settings, shop: UUID, fault: Fault
) -> None:
    events = [{"shop_id": str(shop), "order_id": order, "phone": "0241234567"} for order in _orders(migrated, shop, 90)]
    with migrated.connect() as connection:
        # So that the fault is there before the last event is.
        connection.execute(
            "create function write_slowly() returns trigger language plpgsql "
            "as $$ begin perform pg_sleep(0.01); return new; end $$; "
            "create trigger slow before insert on regulars.tracking for each row execute function write_slowly()"
        )
    with Proxy(migrated.conninfo) as proxy:
        behind = settings.model_copy(update={"database_url": proxy.conninfo})
        with served(create_app(behind), headers=SHOWN) as client, ThreadPoolExecutor() as thread:
            client.post(CHECKOUTS, json={"checkouts": events[:5]})
            request = thread.submit(client.post, CHECKOUTS, json={"checkouts": events})
            while _rows(migrated, "select count(*) < 20 from regulars.tracking") == [(True,)]:
                time.sleep(0.001)
            proxy.fault = fault
            answers = request.result().json()["answers"]
            assert {answer["outcome"] for answer in answers} == {"spooled"}
            proxy.fault = "none"
            proxy.cut()
            wait_until(lambda: _metric(client, "regulars_spool_events") == 0)
    assert _rows(migrated, "select count(*), count(distinct shop_order_id) from regulars.tracking") == [(90, 90)]
    assert _rows(migrated, "select count(*) from regulars.customers") == [(1,)]


def test_a_batch_is_on_the_servers_disk_when_the_answer_arrives(
    migrated: Database, client: httpx.Client, shop: UUID
) -> None:
    events = [{"shop_id": str(shop), "order_id": order, "phone": "0241234567"} for order in _orders(migrated, shop, 50)]
    flushed = []
    with migrated.connect() as connection:
        for first in range(0, 50, 5):
            client.post(CHECKOUTS, json={"checkouts": events[first : first + 5]})
            flushed += fetch(connection, "select pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()")
    # Not every time, because the server also writes for its own purposes.
    assert flushed.count((True,)) > 5


def test_an_event_that_neither_the_database_nor_the_disk_takes_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken = {"database_url": "host=127.0.0.1 port=1", "home": tmp_path / "file", "track_budget_ms": 100}
    with served(create_app(settings.model_copy(update=broken)), headers=SHOWN) as client:
        _assert_problem(client.post(CHECKOUTS, json=_EVENT), 503)
        answer = client.post(CHECKOUTS, json={"checkouts": [_EVENT, 7]})
        assert [one["outcome"] for one in _assert_problem(answer, 503)["answers"]] == ["refused", "invalid"]
        assert str(tmp_path) not in answer.text
        assert client.get("/metrics").status_code == 200


def test_the_metrics_add_up_to_the_answers(migrated: Database, client: httpx.Client, shop: UUID) -> None:
    first, second, third = _orders(migrated, shop, 3)
    event = {"shop_id": str(shop), "phone": "0241234567"}
    client.post(CHECKOUTS, json=event | {"order_id": first})
    batch = [event | {"order_id": order} for order in (first, second)]
    batch += [event | {"order_id": third, "phone": "12"}, event | {"order_id": str(uuid4())}, {}]
    client.post(CHECKOUTS, json={"checkouts": batch})
    client.post(CHECKOUTS, json=event | {"order_id": second, "phone": "0209876543"})
    client.post(CHECKOUTS, json={})
    client.post(VISITS, json={"shop_id": str(shop)})
    counts = {
        f"{kind} {outcome}": float(count)
        for kind, outcome, count in re.findall(
            r'regulars_events_total\{kind="(\w+)",outcome="(\w+)"\} (\S+)', client.get("/metrics").text
        )
    }
    assert {name: count for name, count in counts.items() if count} == {
        "checkout new_customer": 1, "checkout returning_customer": 1, "checkout replayed": 1,
        "checkout unreadable": 1, "checkout spooled": 1, "checkout conflict": 1, "visit noted": 1,
    }  # fmt: skip
    assert counts["checkout failed"] == 0
    assert _metric(client, 'regulars_track_seconds_count{kind="checkout"}') == 6
    assert _metric(client, 'regulars_invalid_total{kind="checkout"}') == 2
    assert _metric(client, "regulars_spool_events") == 1


def _metric(client: httpx.Client, name: str) -> float:
    (value,) = [line.split()[-1] for line in client.get("/metrics").text.splitlines() if line.startswith(f"{name} ")]
    return float(value)


_PRIVATE = ("0241234567", "241234567", "0209876543", "ama@example.com", "Ama", "Boateng", "PHONE", TOKEN, "secret")


def test_logs_problems_and_metrics_hold_no_personal_data_wherever_it_was_sent(
    migrated: Database, tmp_path: Path, shop: UUID
) -> None:
    orders = _orders(migrated, shop, 3)
    person = {"phone": "0241234567", "email": "ama@example.com", "customer_name": "Ama Boateng"}
    events = [{"shop_id": str(shop), "order_id": order} | person for order in [*orders, str(uuid4())]]
    bad = [
        {"shop_id": "0241234567"} | person,
        {"ama@example.com": "Ama Boateng"},
        "0241234567",
        events[0] | {"x": person},
    ]
    with (
        _process(migrated, tmp_path) as (where, printed),
        httpx.Client(base_url=where, headers=SHOWN) as client,
    ):
        answers = [client.post(CHECKOUTS, json=event, params=person) for event in (*events, *bad)]
        answers += [client.post(CHECKOUTS, json=events[0] | {"phone": "0209876543"})]
        answers += [client.post(CHECKOUTS, json={"checkouts": [*events, *bad]}, headers={"X-Phone": "0241234567"})]
        answers += [client.post(VISITS, json={"shop_id": str(shop), "slug": "Ama Boateng", "phone": "0241234567"})]
        answers += [client.post(CHECKOUTS, content=b"Ama Boateng 0241234567", headers={"Content-Type": "text/plain"})]
        answers += [client.get("/api/0241234567/Ama"), client.request("PHONE0241234567", VISITS, params=person)]
        answers += [client.get(VISITS, headers={"Authorization": "Bearer Ama-secret-0241234567"})]
        answers += [client.post(VISITS, json=person, headers={"Authorization": "Bearer Ama-secret-0241234567"})]
        answers += [client.get("/metrics", params=person)]
        with socket.create_connection((where[7:].split(":")[0], int(where.rsplit(":", 1)[1]))) as raw:
            raw.sendall(b"0241234567 Ama Boateng\r\n\r\n")
            raw.recv(1000)
    assert {answer.status_code for answer in answers} == {200, 202, 207, 401, 404, 405, 415, 422}
    logged = printed.read_text()
    lines = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
    assert {"method": "POST", "path": CHECKOUTS, "status": 422}.items() <= max(
        (line for line in lines if line.get("status") == 422), key=len
    ).items()
    assert any(line["message"] == "a checkout was spooled: UnknownOrder" for line in lines)
    for private in _PRIVATE:
        assert private not in logged
        for answer in answers:
            assert private not in answer.text


def test_an_internal_error_is_a_problem_and_its_text_is_not_logged(
    app: FastAPI, client: httpx.Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_: object) -> None:
        raise RuntimeError("Ama Boateng has 0241234567")

    monkeypatch.setattr(app.state.tracker, "track", breaks)
    with caplog.at_level(logging.INFO):
        _assert_problem(client.post(CHECKOUTS, json=_EVENT), 500)
        # The request is logged after its answer, which may arrive here first.
        deadline = time.monotonic() + 10
        while (
            not any(record.name == "regulars.ingest_api" for record in caplog.records) and time.monotonic() < deadline
        ):
            time.sleep(0.01)
    logged = "\n".join(map(JsonLines().format, caplog.records))
    assert '"error": "RuntimeError", "where": "tests.integration.test_ingest_api:' in logged
    for private in _PRIVATE:
        assert private not in logged
