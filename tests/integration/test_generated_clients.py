"""Clients that generators make of /openapi.json read every endpoint of a dashboard that runs."""

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from ingest.storage.settings import Settings
from regulars.dashboard.app import create_app
from tests.api import API, bearer
from tests.conftest import NAME, Database, Server
from tests.owners import TwoOwners, copy_of, settings_of, two_owners
from tests.served import served

_BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def owners(server: Server, built_template: str) -> TwoOwners:
    return two_owners(server, built_template)


@pytest.fixture(scope="module")
def copied(server: Server, owners: TwoOwners) -> Iterator[Database]:
    with copy_of(server, owners, name=f"{NAME}_generated") as database:
        yield database


@pytest.fixture(scope="module")
def settings(copied: Database) -> Settings:
    return settings_of(copied)


@pytest.fixture(scope="module")
def client(settings: Settings, owners: TwoOwners) -> Iterator[httpx.Client]:
    with served(create_app(settings), headers=bearer(settings, owners.kofi)) as client:
        yield client


@pytest.fixture(scope="module")
def described(client: httpx.Client) -> dict[str, Any]:
    described: dict[str, Any] = client.get("/openapi.json").json()
    return described


@pytest.fixture(scope="module")
def file(described: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("described") / "openapi.json"
    file.write_text(json.dumps(described))
    return file


def _generate(command: str, *arguments: str) -> None:
    # It calls ruff, which is beside it.
    environment = os.environ | {"PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [_BIN / command, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower(), done.stdout + done.stderr


@pytest.fixture(scope="module")
def package(file: Path) -> Iterator[Path]:
    """The package that openapi-python-client makes."""
    package = file.parent / "generated_client"
    _generate("openapi-python-client", "generate", "--path", str(file), "--output-path", str(package), "--meta", "none")
    sys.path.insert(0, str(package.parent))
    yield package
    sys.path.remove(str(package.parent))
    for name in [name for name in sys.modules if name.split(".")[0] == package.name]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def models(file: Path) -> ModuleType:
    """The models that datamodel-code-generator makes."""
    made = file.parent / "generated_models.py"
    _generate(
        "datamodel-codegen", "--input", str(file), "--input-file-type", "openapi", "--output", str(made),
        "--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.11", "--formatters", "builtin",
    )  # fmt: skip
    spec = importlib.util.spec_from_file_location("generated_models", made)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["generated_models"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def customer(client: httpx.Client) -> str:
    found: str = client.get(f"{API}/list").json()["customers"][0]["customer_id"]
    return found


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_a_generated_client_reads_every_endpoint(
    package: Path, client: httpx.Client, described: dict[str, Any], customer: str
) -> None:
    made = importlib.import_module(package.name)
    token = client.headers["Authorization"].removeprefix("Bearer ")
    read = 0
    with made.AuthenticatedClient(base_url=str(client.base_url), token=token, raise_on_unexpected_status=True) as own:
        for method, path, operation in _operations(described):
            tag = operation["tags"][0].replace("-", "_")
            module = importlib.import_module(f"{package.name}.api.{tag}.{operation['operationId']}")
            named = {"customer_id": customer} if "{customer_id}" in path else {}
            shop = {"shop": "kofi-data"} if operation.get("parameters") else {}
            answer = module.sync_detailed(**named, **shop, client=own)
            if method == "post":
                assert answer.status_code == 201
                assert answer.parsed.url.startswith("http://127.0.0.1:8086/sign-in?token=")
                continue
            expected = client.get(path.format(**named))
            assert answer.status_code == 200, path
            if "json" in expected.headers["content-type"]:
                assert answer.parsed.to_dict() == expected.json(), path
            else:
                assert answer.parsed.encode() == expected.content
            read += 1
            refused = module.sync_detailed(**named, shop="there-is-none", client=own)
            assert (refused.status_code, type(refused.parsed).__name__) == (404, "Problem")
            assert refused.parsed.detail == "You have no such shop."
    assert read >= 17


def test_the_errors_are_one_module_of_a_generated_client(package: Path, described: dict[str, Any]) -> None:
    modules = {file.stem for file in (package / "models").glob("*.py")} - {"__init__"}
    assert {name for name in modules if "problem" in name or "error" in name} == {
        "problem", "parameter_error", "forecast_error",
    }  # fmt: skip
    # Each is a schema of its own, or the choices of a parameter.
    choices = {name for name in modules if "Enum)" in (package / "models" / f"{name}.py").read_text()}
    assert choices
    assert len(modules - choices) == len(described["components"]["schemas"])


def _numbers(value: object) -> list[Decimal]:
    if isinstance(value, dict):
        return [number for held in value.values() for number in _numbers(held)]
    if isinstance(value, list):
        return [number for held in value for number in _numbers(held)]
    return [Decimal(value)] if isinstance(value, int | Decimal) and not isinstance(value, bool) else []


def test_generated_models_hold_every_amount_exactly(
    models: ModuleType, client: httpx.Client, described: dict[str, Any], customer: str
) -> None:
    amounts = 0
    for method, path, operation in _operations(described):
        content = operation["responses"].get("200", {}).get("content", {})
        if method != "get" or "application/json" not in content:
            continue
        text = client.get(path.format(customer_id=customer)).text
        model = getattr(models, content["application/json"]["schema"]["$ref"].rpartition("/")[2])
        written = json.loads(text, parse_float=Decimal)
        read = model.model_validate(written)
        assert _numbers(read.model_dump()) == _numbers(written), path
        amounts += len(_numbers(read.model_dump()))
    assert amounts > 100
    # A float has no room for so many digits.
    long = "1234567890123456.78"
    text = re.sub(r'"net_amount":[0-9.]+', f'"net_amount":{long}', client.get(f"{API}/acquisition").text, count=1)
    read = models.AcquisitionResponse.model_validate(json.loads(text, parse_float=Decimal))
    assert str(read.months[0].net_amount) == long
