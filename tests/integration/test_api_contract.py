"""What the owners' API says of itself in /openapi.json is true; and what the commands print."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as bounds
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from ingest.storage.errors import SettingError
from ingest.storage.settings import Settings
from regulars.dashboard.api.exact_json import as_json
from regulars.dashboard.api.openapi import example
from regulars.dashboard.api.responses import RESPONSES, ShopResponse
from regulars.dashboard.app import SECURITY_HEADERS, create_app
from regulars.dashboard.security.tokens import SIGN_IN, Keys
from tests.api import API, NUMBERS, bearer
from tests.conftest import NAME, Database, Server
from tests.integration.test_command import regulars
from tests.owners import SECRET, TwoOwners, copy_of, settings_of, two_owners
from tests.served import served

PATHS = {*NUMBERS, "list", "export.csv"}


@pytest.fixture(scope="module")
def owners(server: Server, built_template: str) -> TwoOwners:
    return two_owners(server, built_template)


@pytest.fixture(scope="module")
def copied(server: Server, owners: TwoOwners) -> Iterator[Database]:
    with copy_of(server, owners, name=f"{NAME}_contract") as database:
        yield database


@pytest.fixture(scope="module")
def client(copied: Database, owners: TwoOwners) -> Iterator[httpx.Client]:
    settings = settings_of(copied)
    with served(create_app(settings), headers=bearer(settings, owners.kofi)) as client:
        yield client


@pytest.mark.parametrize("model", RESPONSES, ids=lambda model: model.__name__)
def test_the_example_of_a_response_is_such_a_response(model: type[ShopResponse]) -> None:
    made = example(model)
    assert json.loads(as_json(model.model_validate(made))).keys() == made.keys()
    assert not [name for name, field in model.model_fields.items() if field.is_required() and made[name] is None]


def test_no_request_breaks_the_api_or_gets_a_response_that_is_not_documented(client: httpx.Client) -> None:
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    expected = {f"{API}/{path}" for path in (*PATHS, "{customer_id}/history")} | {"/session"}
    assert {operation.path for operation in operations} == expected
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @bounds(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def holds(case: schemathesis.Case) -> None:
                answer = case.call(headers={"Authorization": client.headers["Authorization"]})
                # The database decides which cursors, slugs and ids are valid; and a negative case may only lack the
                # token, which this request has. Refused requests have tests of their own.
                case.validate_response(answer, excluded_checks=[positive_data_acceptance, negative_data_rejection])

            holds()


_HOSTILE = [
    "'; drop table user_shops; --",
    "' or '1'='1",
    "<script>alert(1)</script>",
    "%",
    "_",
    "\\",
    "%s",
    "{}",
    "$1",
]


@pytest.mark.parametrize("text", _HOSTILE)
def test_sql_and_html_are_only_text(client: httpx.Client, owners: TwoOwners, text: str) -> None:
    total = len(owners.shops["kofi-data"].buyers)
    for name in ("search", "slug", "network"):
        answer = client.get(f"{API}/list", params={name: text})
        customers = owners.shops["kofi-data"].customers().values()
        matches = sum(text in f"{row['customer_name']} {row['email']}" for row in customers)
        assert answer.json()["total"] == (matches if name == "search" else 0)
    assert client.get(f"{API}/list", params={"shop": text}).status_code == 404
    for name in ("sort", "cursor", "repeat", "limit", "offset"):
        answer = client.get(f"{API}/list", params={name: text})
        assert answer.status_code == 422
        assert len(text) < 3 or text not in answer.text
    assert client.get(f"{API}/list").json()["total"] == total


def test_every_answer_has_the_headers_that_protect_it(client: httpx.Client) -> None:
    for path in (f"{API}/analytics", f"{API}/list?limit=0", f"{API}/export.csv", "/healthz", "/nothing", "/static/x"):
        answer = client.get(path)
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value, path
        assert "unsafe" not in answer.headers["content-security-policy"]
    assert client.post(f"{API}/list").status_code == 405


def test_a_missing_address_is_a_page_for_a_person_and_a_problem_for_a_program(client: httpx.Client) -> None:
    for path, accepts, is_page in (
        ("/nothing", "text/html,*/*;q=0.8", True),
        ("/nothing", "application/json", False),
        (f"{API}/nothing", "text/html", False),
    ):
        answer = client.get(path, headers={"Accept": accepts})
        kind = "text/html; charset=utf-8" if is_page else "application/problem+json"
        assert (answer.status_code, answer.headers["content-type"]) == (404, kind)


@pytest.mark.usefixtures("takes_long")
def test_the_dashboard_does_not_start_without_a_key_or_with_a_weak_one(home: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="Neither REGULARS_JWT_SECRET nor REGULARS_JWKS_FILE is set"):
        create_app(Settings())
    said = regulars("dashboard", home=home)
    assert (said.returncode, "REGULARS_JWT_SECRET" in said.stderr) == (1, True)
    with pytest.raises(SettingError, match="shorter than 32") as error:
        Settings.from_environment({"REGULARS_JWT_SECRET": "too-short-a-secret"})
    assert "too-short" not in str(error.value)
    with pytest.raises(SettingError, match=r"REGULARS_JWKS_FILE: .* can't be read"):
        create_app(Settings(jwks_file=tmp_path / "none.json"))


def _token(copied: Database, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return regulars("token", *arguments, home=copied.settings.home, database_url=copied.conninfo, **environment)


def test_the_command_prints_a_link_or_a_token_for_a_shops_owner(copied: Database, owners: TwoOwners) -> None:
    where = {"REGULARS_JWT_SECRET": SECRET, "REGULARS_DASHBOARD_URL": "https://regulars.example/"}
    keys = Keys(settings_of(copied))
    link = _token(copied, "--shop", "kofi-data", **where)
    before, _, token = link.stdout.strip().partition("?token=")
    assert (link.returncode, before) == (0, "https://regulars.example/sign-in")
    assert keys.verify(token, audience=SIGN_IN).sub == str(owners.kofi)
    assert "15 minutes" in link.stderr
    for_api = _token(copied, "--shop", "kofi-data", "--api", "--hours", "2", **where)
    assert keys.verify(for_api.stdout.strip()).sub == str(owners.kofi)
    assert "2 h" in for_api.stderr
    unknown = _token(copied, "--shop", "there-is-none", **where)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "There is no shop with this slug" in unknown.stderr
    without = _token(copied, "--shop", "kofi-data")
    assert (without.returncode, "REGULARS_JWT_SECRET" in without.stderr) == (1, True)
