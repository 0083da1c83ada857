"""Customers as a file: complete, safe to open in a spreadsheet, and never a part that looks complete."""

import csv
import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from ingest.storage.settings import Settings
from regulars.dashboard.app import create_app
from regulars.dashboard.queries import exports
from regulars.web.logs import JsonLines
from tests.api import API, bearer
from tests.conftest import NAME, Database, Server
from tests.owners import Shop, TwoOwners, copy_of, settings_of, two_owners
from tests.proxy import Proxy
from tests.served import served

_MARK = b"\xef\xbb\xbf"


@pytest.fixture(scope="module")
def owners(server: Server, built_template: str) -> TwoOwners:
    return two_owners(server, built_template)


@pytest.fixture(scope="module")
def copied(server: Server, owners: TwoOwners) -> Iterator[Database]:
    with copy_of(server, owners, name=f"{NAME}_export") as database:
        yield database


@pytest.fixture(scope="module")
def settings(copied: Database) -> Settings:
    return settings_of(copied, dashboard_connections=2)


@pytest.fixture(scope="module")
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture(scope="module")
def client(app: FastAPI, settings: Settings, owners: TwoOwners) -> Iterator[httpx.Client]:
    with served(app, headers=bearer(settings, owners.ama)) as client:
        yield client


@pytest.fixture(autouse=True)
def _everything_is_logged(app: FastAPI, client: httpx.Client) -> Iterator[None]:
    """Waits for the log: a response can arrive before its log line, which the next test must not see."""
    yield
    with app.state.reader._shares.hold("somebody else", "export", timeout=10):
        client.get("/healthz")


@pytest.fixture
def few_rows_per_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_ROWS_PER_FETCH", 4)


def _read(content: bytes) -> list[dict[str, str]]:
    assert content.startswith(_MARK)
    assert content.endswith(b"\r\n")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def _unguarded(cell: str) -> str | None:
    return cell.removeprefix("'") or None


def _typed(row: dict[str, str], shop: Shop) -> dict[str, Any]:
    typed: dict[str, Any] = {name: _unguarded(cell) for name, cell in row.items()}
    for name in ("first_purchase_at", "last_purchase_at"):
        local = datetime.strptime(row[name], "%Y-%m-%d %H:%M:%S").replace(tzinfo=shop.zone)
        typed[name] = local.astimezone(UTC).isoformat()
    for name in ("total_spent", "total_profit", "average_order_value"):
        typed[name] = Decimal(row[name])
    return typed | {
        "total_purchases": int(row["total_purchases"]),
        "repeat_customer": {"true": True, "false": False}[row["repeat_customer"]],
    }


@pytest.mark.usefixtures("few_rows_per_fetch")
@pytest.mark.parametrize("slug", ["ama-data", "ama-more"])
def test_the_file_is_the_list(client: httpx.Client, owners: TwoOwners, slug: str) -> None:
    shop = owners.shops[slug]
    for asked in (
        {},
        {"sort": "total_spent", "repeat": "true"},
        {"search": "esi"},
        {"slug": "promo"},
        {"search": "no"},
    ):
        parameters = {"shop": slug, **asked}
        listed = client.get(f"{API}/list", params=parameters | {"limit": 200})
        rows = json.loads(listed.text, parse_float=Decimal)["customers"]
        answer = client.get(f"{API}/export.csv", params=parameters)
        # The API has the id under the storefront's name too.
        assert [_typed(row, shop) | {"id": row["customer_id"]} for row in _read(answer.content)] == rows
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["cache-control"] == "private, no-store"
        today = f"{datetime.now(shop.zone):%Y-%m-%d}"
        assert answer.headers["content-disposition"] == f'attachment; filename="customers-{slug}-{today}.csv"'
        assert answer.headers["regulars-as-of"] == listed.json()["as_of"]
        assert answer.headers["regulars-stale"] == "false"


def test_no_cell_is_a_formula(client: httpx.Client, copied: Database, owners: TwoOwners) -> None:
    shop = owners.shops["ama-more"]
    names = [
        "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "'=1", '"=1"', "a,b\r\nc", 'say "hi"',
    ]  # fmt: skip
    with copied.connect() as connection:
        connection.execute(
            "update regulars.customers as k set customer_name = v.name, email = '=cmd|x@example.com' "
            "from (select shop_customer_id as id, row_number() over () as n from analytics.customers "
            "where shop_id = %s) as c inner join unnest(%s::text[]) with ordinality as v (name, n) on c.n = v.n "
            "where k.id = c.id",
            [shop.shop_id, names],
        )
    content = client.get(f"{API}/export.csv?shop=ama-more").content
    rows = _read(content)
    assert len(rows) == len(shop.buyers)
    for row in rows:
        for cell in row.values():
            assert cell.lstrip()[:1] not in tuple("=+-@\uff1d") or not cell
            assert cell[:1] not in tuple("\t\r\n") or not cell
        assert row["phone_number"].startswith("'+233")
        assert row["email"] == "'=cmd|x@example.com"
    found = {row["customer_name"] for row in rows}
    assert found <= {"'\t'=1", *(f"'{name}" for name in names), *names}
    assert all(record.endswith("\r\n") for record in content.decode().splitlines(keepends=True)[:1])


def _lines(caplog: pytest.LogCaptureFixture, message: str, *, at_least: int = 1) -> list[str]:
    deadline = time.monotonic() + 10
    while True:
        # The response can arrive before its log line.
        lines = [JsonLines().format(record) for record in caplog.records if record.getMessage() == message]
        lines = [line for line in lines if "/healthz" not in line]
        if len(lines) >= at_least or time.monotonic() > deadline:
            return lines
        time.sleep(0.01)


def test_an_export_is_logged_with_its_owner_and_row_count_and_no_customers_data(
    client: httpx.Client, owners: TwoOwners, caplog: pytest.LogCaptureFixture
) -> None:
    shop = owners.shops["ama-data"]
    with caplog.at_level(logging.INFO):
        client.get(f"{API}/export.csv?shop=ama-data&search=buyer")
        client.get(f"{API}/list?shop=ama-data&search=0241000002")
        found = client.get(f"{API}/list?shop=ama-data&limit=1").json()["customers"][0]
        client.get(f"{API}/{found['customer_id']}/history?shop=ama-data")
        client.get(f"{API}/0241000002/Ama")
        requests = _lines(caplog, "request", at_least=5)
    (line,) = _lines(caplog, "customers were exported")
    told = json.loads(line)
    rows = sum(customer["email"] is not None for customer in shop.customers().values())
    assert (told["sub"], told["shop"], told["rows"], told["complete"]) == (
        str(owners.ama), str(shop.shop_id), rows, True,
    )  # fmt: skip
    # A request is logged when its response has been sent, so the next one's line may come first.
    paths = sorted(json.loads(request)["path"] for request in requests)
    history = "/api/admin/customers/{customer_id}/history"
    assert paths == sorted([f"{API}/export.csv", f"{API}/list", f"{API}/list", history, "other"])
    for private in ("buyer", "024100", "241000002", found["customer_id"], "Ama", "ama-data"):
        assert private not in "\n".join([line, *requests])


def _is_free(client: httpx.Client) -> bool:
    """Whether an export can start: with two connections, one at a time."""
    return client.get(f"{API}/export.csv?shop=ama-more").status_code == 200


@pytest.mark.usefixtures("few_rows_per_fetch")
def test_a_client_that_disconnects_returns_the_connection(
    client: httpx.Client,
    settings: Settings,
    owners: TwoOwners,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fetch, going_on = exports.Export._fetch, threading.Event()

    def slowly(self: exports.Export) -> bytes:
        if self.rows:
            going_on.wait(10)
        return fetch(self)

    with caplog.at_level(logging.INFO):
        monkeypatch.setattr(exports.Export, "_fetch", slowly)
        plain = {"Accept-Encoding": "identity"}
        with client.stream("GET", f"{API}/export.csv?shop=ama-data", headers=plain) as answer:
            parts = (part for part in answer.iter_raw() if part)
            assert next(parts).startswith(_MARK)
            # Meanwhile the owner gets no other export, and nobody does: the exports' half of the connections is
            # taken. Other requests succeed.
            assert client.get(f"{API}/export.csv?shop=ama-data").status_code == 429
            kofi = bearer(settings, owners.kofi)
            assert client.get(f"{API}/export.csv", headers=kofi).status_code == 503
            assert client.get(f"{API}/analytics?shop=ama-data").status_code == 200
        going_on.set()
        (line,) = _lines(caplog, "customers were exported")
    assert json.loads(line)["complete"] is False
    monkeypatch.undo()
    assert _is_free(client)


@pytest.mark.usefixtures("few_rows_per_fetch")
def test_a_file_that_breaks_off_does_not_look_complete(
    copied: Database, owners: TwoOwners, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Proxy(copied.conninfo) as proxy:
        behind = settings_of(copied, dashboard_connections=2).model_copy(update={"database_url": proxy.conninfo})
        fetch = exports.Export._fetch

        def cut(self: exports.Export) -> bytes:
            if self.rows:
                proxy.cut()
            return fetch(self)

        monkeypatch.setattr(exports.Export, "_fetch", cut)
        with served(create_app(behind), headers=bearer(behind, owners.ama)) as client, caplog.at_level(logging.INFO):
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                client.get(f"{API}/export.csv?shop=ama-data")
            (line,) = _lines(caplog, "customers were exported")
            assert json.loads(line)["complete"] is False
            monkeypatch.undo()
            deadline = time.monotonic() + 10
            while not _is_free(client) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert _is_free(client)
