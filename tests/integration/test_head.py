"""HEAD gets what GET gets, without the body and without what a GET does beyond answering."""

import time

import httpx
import pytest

from tests.api import API, NUMBERS, bearer
from tests.pages import PATHS, Dashboard

OPERATORS = ["/healthz", "/readyz", "/openapi.json", "/static/regulars.css", "/nothing"]


def _ask(client: httpx.Client, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    answer = client.request(method, path)
    changing = ("date", "transfer-encoding")
    return answer.status_code, {k: v for k, v in answer.headers.items() if k not in changing}, answer.content


@pytest.mark.parametrize("path", [*PATHS, *(f"{API}/{name}" for name in (*NUMBERS, "list", "export.csv")), *OPERATORS])
def test_head_answers_as_get_does_without_a_body(dashboard: Dashboard, path: str) -> None:
    owner = dashboard.owners.kofi
    with dashboard.owner(owner) as client:
        client.headers.update(bearer(dashboard.settings, owner))
        status, headers, body = _ask(client, "GET", path)
        assert body or status == 404
        assert _ask(client, "HEAD", path) == (status, headers, b"")


def test_a_head_exports_nothing(dashboard: Dashboard, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="regulars.dashboard")
    with dashboard.owner(dashboard.owners.kofi) as client:
        assert client.head("/customers.csv").status_code == 200
    # The log is written after the answer.
    deadline = time.monotonic() + 10
    while not (logged := [one for one in caplog.records if one.getMessage() == "customers were exported"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [vars(one)["fields"]["rows"] for one in logged] == [0]


def test_the_methods_that_an_address_takes_are_listed(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.kofi) as client:
        assert client.post("/customers").headers["allow"] == "GET, HEAD"
        assert client.get("/sign-out").headers["allow"] == "POST"
        assert client.head("/sign-out").status_code == 405
