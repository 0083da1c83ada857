"""Data subjects' rights over HTTP: a full report, erasure everywhere, and no personal data in an error or a log."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from ingest import track
from ingest.privacy.erasure_lock import no_erasure
from ingest.spool.file import SPOOL, Spool
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from regulars.ingest_api import people
from regulars.ingest_api.app import create_app
from regulars.ingest_api.openapi import HeldBody
from regulars.web.logs import JsonLines
from tests.conftest import Database
from tests.person import E164, EMAIL, KEY, NAME, PHONE, SPELLINGS, a_past, checkout, is_personal, person_order, traces
from tests.proxy import Proxy
from tests.served import served
from tests.storefront import add_shop, fetch

TOKEN = "the-token-of-the-storefront"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
ERASURES = "/api/ingest/erasures"
ACCESS = "/api/ingest/access-requests"
PERSON = {"shop": "ama-data", "phone": PHONE}


pytestmark = pytest.mark.usefixtures("erasure_key")


@pytest.fixture
def settings(migrated: Database, tmp_path: Path) -> Settings:
    return Settings(
        DATABASE_URL=migrated.conninfo,
        home=tmp_path,
        ingest_tokens=(SecretStr(TOKEN),),
        erasure_key=SecretStr(KEY),
        track_budget_ms=5000,
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with served(create_app(settings), headers=SHOWN) as client:
        yield client


@pytest.fixture(scope="module")
def no_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API without a database."""
    where: dict[str, Any] = {"DATABASE_URL": "host=127.0.0.1 port=1", "home": tmp_path_factory.mktemp("no-database")}
    settings = Settings(**where, ingest_tokens=(SecretStr(TOKEN),), erasure_key=SecretStr(KEY))
    with served(create_app(settings), headers=SHOWN) as client:
        yield client


def _problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert not is_personal(answer.text)
    return answer.json()  # type: ignore[no-any-return]


def test_a_person_receives_a_full_report_and_is_erased_everywhere_and_only_once(
    connection: Connection, client: httpx.Client, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shop = add_shop(connection)
    orders = a_past(connection, shop, spool)

    held = client.post(ACCESS, json=PERSON | {"phone": SPELLINGS[3]})
    assert (held.status_code, held.headers["cache-control"]) == (200, "no-store")
    report = held.json()
    assert report.keys() == HeldBody.model_fields.keys()
    assert (report["phone"], report["customer"]["email"], report["customer"]["customer_name"]) == (E164, EMAIL, NAME)
    assert {each["order_id"] for each in report["orders"]} == {
        str(orders[name]) for name in ("tracked", "untracked", "failed", "spooled", "moved here")
    }
    assert (len(report["visits"]), len(report["conflicts"]), len(report["failures"]), len(report["spooled"])) == (
        2,
        2,
        1,
        2,
    )
    assert "0203334444" not in held.text

    first = client.post(ERASURES, json=PERSON | {"by": "Yaw"})
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-store")
    done = first.json()
    assert (done["erased_by"], done["was_erased"], done["orders"], done["events"]) == ("Yaw", False, 5, 5)
    assert not is_personal(first.text)
    assert traces(connection, spool) == []
    assert "0203334444" in spool.everything()[1].event

    # Sent again, it returns the same erasure; what has been spooled since is erased too.
    spool.add("checkout", checkout(shop, orders["tracked"]).model_dump_json())
    second = client.post(ERASURES, json=PERSON | {"phone": SPELLINGS[1], "by": "Esi"})
    assert second.json() == done | {"was_erased": True, "orders": 0, "events": 1}
    assert traces(connection, spool) == []
    assert fetch(connection, "select erased_by from regulars.erasures") == [("Yaw",)]
    after = _problem(client.post(ACCESS, json=PERSON), 404)
    assert f"it was erased on {done['erased_at'][:10]} (UTC)" in after["detail"]
    logged = "\n".join(map(JsonLines().format, caplog.records))
    assert ERASURES in logged
    assert not is_personal(logged)


@pytest.mark.parametrize("path", [ERASURES, ACCESS])
@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"phone": PHONE}, "#/shop", "is missing"),
        ({"shop": "ama-data"}, "#/phone", "is missing"),
        (PERSON | {"phone": 245550123}, "#/phone", "is not text"),
        (PERSON | {"phone": f"{PHONE}{'0' * 300}"}, "#/phone", "is longer than 300 characters"),
        (PERSON | {"shop": " "}, "#/shop", "is not text"),
        (PERSON | {EMAIL: NAME}, "#", "holds a field that is not known"),
        ([PERSON], "#", "is not an object"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_problem_that_names_the_field_and_not_the_value(
    no_database: httpx.Client, path: str, body: object, pointer: str, detail: str
) -> None:
    assert _problem(no_database.post(path, json=body), 422)["errors"] == [{"pointer": pointer, "detail": detail}]


@pytest.mark.parametrize("path", [ERASURES, ACCESS])
def test_an_unknown_shop_or_person_or_an_unreadable_phone_is_named_without_its_value(
    connection: Connection, client: httpx.Client, path: str
) -> None:
    for slug, link in (("ama-data", "of-both"), ("of-both", "kofi")):
        shop = add_shop(connection, slug)
        connection.execute("insert into shop_slugs (shop_id, slug) values (%s, %s)", [shop, link])
    for body, status, pointer in (
        (PERSON | {"shop": PHONE}, 404, "#/shop"),
        (PERSON | {"shop": "of-both"}, 422, "#/shop"),
        (PERSON, 404, "#/phone"),
        (PERSON | {"phone": f"{PHONE}{PHONE}"}, 422, "#/phone"),
    ):
        (error,) = _problem(client.post(path, json=body), status)["errors"]
        assert error["pointer"] == pointer
    assert fetch(connection, "select * from regulars.erasures") == []


@pytest.mark.parametrize("path", [ERASURES, ACCESS])
def test_nothing_is_reported_or_erased_without_a_token(no_database: httpx.Client, path: str) -> None:
    for authorization in ("", f"Bearer {TOKEN}x"):
        _problem(no_database.post(path, json=PERSON, headers={"Authorization": authorization}), 401)


@pytest.mark.parametrize("path", [ERASURES, ACCESS])
def test_without_the_database_the_answer_says_to_send_it_again(no_database: httpx.Client, path: str) -> None:
    answer = no_database.post(path, json=PERSON)
    assert "send it again" in _problem(answer, 503)["detail"]
    assert answer.headers["retry-after"] == "5"


def test_a_silent_database_is_not_waited_for(
    migrated: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(migrated.conninfo) as proxy:
        behind = settings.model_copy(update={"database_url": proxy.conninfo})
        with served(create_app(behind), headers=SHOWN) as client:
            assert client.post(ACCESS, json=PERSON).status_code == 404
            monkeypatch.setattr(people, "SECONDS", 1)
            proxy.fault = "silent"
            _problem(client.post(ERASURES, json=PERSON), 503)
            proxy.fault = "none"
            proxy.cut()


def test_nobody_is_erased_without_the_key_or_with_another(connection: Connection, settings: Settings) -> None:
    person_order(connection, add_shop(connection))
    with served(create_app(settings.model_copy(update={"erasure_key": None})), headers=SHOWN) as client:
        assert "REGULARS_ERASURE_KEY is not set" in _problem(client.post(ERASURES, json=PERSON), 503)["detail"]
        assert client.post(ACCESS, json=PERSON).status_code == 200
    with served(create_app(settings), headers=SHOWN) as client:
        assert client.post(ERASURES, json=PERSON).status_code == 200
    another = settings.model_copy(update={"erasure_key": SecretStr(f"{KEY}, but another")})
    with served(create_app(another), headers=SHOWN) as client:
        assert "is not the one" in _problem(client.post(ERASURES, json=PERSON), 503)["detail"]


def test_nobody_is_erased_while_orders_are_loaded(connection: Connection, client: httpx.Client) -> None:
    person_order(connection, add_shop(connection))
    with no_erasure(connection):
        answer = client.post(ERASURES, json=PERSON)
    assert "nothing was erased" in _problem(answer, 503)["detail"]
    assert client.post(ERASURES, json=PERSON).status_code == 200


def test_an_api_that_may_only_check_out_says_so_and_checks_out(
    connection: Connection, settings: Settings, checkout_login: str
) -> None:
    shop = add_shop(connection)
    order = person_order(connection, shop)
    with served(create_app(settings.model_copy(update={"database_url": checkout_login})), headers=SHOWN) as client:
        for path in (ERASURES, ACCESS):
            assert "may only check out" in _problem(client.post(path, json=PERSON), 503)["detail"]
        event = {"shop_id": str(shop), "order_id": str(order), "phone": PHONE}
        assert client.post("/api/ingest/checkouts", json=event).json()["outcome"] == "new_customer"


def test_a_spool_that_cannot_be_read_is_reported(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    shop = add_shop(connection)
    track(connection, checkout(shop, person_order(connection, shop)))
    (tmp_path / SPOOL).write_text("not a database" * 100)
    with served(create_app(settings), headers=SHOWN) as client:
        problem = _problem(client.post(ERASURES, json=PERSON), 503)
        assert "spool" in problem["detail"]
        assert str(tmp_path) not in json.dumps(problem)
