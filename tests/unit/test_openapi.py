"""The API's description is fit to generate a client from."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from ingest.storage.settings import Settings
from regulars.dashboard.app import create_app


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    app = create_app(Settings(jwt_secret=SecretStr("x" * 32)))
    assert app.openapi() is app.openapi(), "it is made once"
    return app.openapi()


def _operations(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in described["paths"].values():
        yield from path.values()


def _schemas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for name, held in value.items():
            # An example is no schema, though it looks like one.
            if name not in ("examples", "example"):
                yield from _schemas(held)
    elif isinstance(value, list):
        for held in value:
            yield from _schemas(held)


def test_every_operation_has_a_short_name_of_its_own_and_a_tag_that_is_described(described: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in _operations(described)]
    assert {"analytics", "list_customers", "history", "export", "create_session"} <= set(names)
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and "admin" not in name for name in names)
    tags = {tag["name"] for tag in described["tags"]}
    assert {tag for operation in _operations(described) for tag in operation["tags"]} == tags
    assert all(len(operation["tags"]) == 1 for operation in _operations(described))


def test_all_errors_are_the_same_schema(described: dict[str, Any]) -> None:
    for operation in _operations(described):
        errors = [answer for status, answer in operation["responses"].items() if status >= "4"]
        assert errors
        assert {answer["content"]["application/problem+json"]["schema"]["$ref"] for answer in errors} == {
            "#/components/schemas/Problem"
        }
    assert "HTTPValidationError" not in described["components"]["schemas"]


def test_whatever_is_always_sent_is_required(described: dict[str, Any]) -> None:
    for name, schema in described["components"]["schemas"].items():
        if name != "Problem":
            assert schema["required"] == list(schema["properties"]), name


def test_a_parameter_has_a_plain_type_with_its_limits(described: dict[str, Any]) -> None:
    parameters = [one for operation in _operations(described) for one in operation.get("parameters", ())]
    assert len(parameters) > 20
    for parameter in parameters:
        schema = parameter["schema"]
        assert schema["type"] in ("string", "integer", "number", "boolean"), parameter["name"]
        # What pydantic calls its limits, when it can't translate them.
        assert not {"anyOf", "ge", "le", "gt", "lt"} & set(schema), parameter["name"]
        if schema["type"] == "integer":
            assert "minimum" in schema
            assert "maximum" in schema or "counts as" in parameter["description"]


def test_every_number_that_is_no_count_is_a_decimal(described: dict[str, Any]) -> None:
    numbers = [schema for schema in _schemas(described["components"]) if schema.get("type") == "number"]
    assert len(numbers) > 50
    assert {schema.get("format") for schema in numbers} == {"decimal"}


def test_an_example_shows_what_is_null(described: dict[str, Any]) -> None:
    answer = described["paths"]["/api/admin/customers/list"]["get"]["responses"]["200"]
    example = answer["content"]["application/json"]["examples"]["response"]["value"]
    assert example["next_cursor"] is None
    assert example.keys() == described["components"]["schemas"]["ListResponse"]["properties"].keys()
