"""The description of each route in /openapi.json: the response with an example, the headers, and the errors."""

from http import HTTPStatus
from typing import Any, get_args, get_origin

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from regulars.dashboard.api.responses import RESPONSES, ShopResponse
from regulars.web.problems import MEDIA_TYPE

TAGS = [
    {"name": "customers", "description": "A shop's numbers and customers, as of one moment."},
    {"name": "sign-in", "description": "From the storefront to the pages."},
]

_COMPONENTS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "title": "Problem",
        "description": "RFC 9457. `errors` names each wrong parameter and never repeats its value.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/ParameterError"}},
            "shops": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The values that `shop` may have, where the owner has several shops and named none.",
            },
        },
    },
    "ParameterError": {
        "type": "object",
        "title": "ParameterError",
        "required": ["parameter", "detail"],
        "properties": {"parameter": {"type": "string"}, "detail": {"type": "string"}},
    },
}


def problem(status: int, detail: str, description: str, **members: Any) -> dict[str, Any]:
    """For a route's `responses`."""
    example = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail} | members
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {"problem": {"value": example}}}
    return {"description": description, "content": {MEDIA_TYPE: content}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: problem(401, "The token has expired.", "There is no token, or it is not valid."),
    404: problem(
        404,
        "You have no such shop.",
        "The owner has no such shop or customer. Another owner's shop gets the same response.",
    ),
    422: problem(
        422,
        "The query can't be read.",
        "A parameter can't be read, or the owner has several shops and named none.",
        errors=[{"parameter": "limit", "detail": "is less than 1"}],
    ),
    429: problem(
        429,
        "You have too many requests under way. Wait for some of them, and try again.",
        "The owner's other requests take up what one owner may have at once; Retry-After says when to try again.",
    ),
    500: problem(500, "Something broke in the dashboard.", "A defect of ours."),
    503: problem(
        503,
        "The numbers could not be loaded. Try again in a moment.",
        "The database did not respond, or not in time; Retry-After says when to try again.",
    ),
}

_HEADERS: dict[str, Any] = {
    "ETag": {"schema": {"type": "string"}, "description": "A hash of the body, for If-None-Match."},
    "Cache-Control": {"schema": {"type": "string"}},
}


def responses(model: type[ShopResponse]) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`."""
    return {
        200: {
            "model": model,
            "description": "The numbers, and the moment that they hold for.",
            "headers": _HEADERS,
            "content": {"application/json": {"examples": {"response": {"value": example(model)}}}},
        },
        304: {"description": "Nothing has changed since the response with this ETag.", "headers": _HEADERS},
        **PROBLEMS,
    }


class Described(FastAPI):
    """An application with a description for generators of clients."""

    def openapi(self) -> dict[str, Any]:
        described = super().openapi()
        if "Problem" not in described["components"]["schemas"]:
            _complete(described)
        return described


def _complete(described: dict[str, Any]) -> None:
    """Adds what FastAPI can't describe: the errors' schema, parameters without null, and examples with null."""
    described["components"]["schemas"] |= _COMPONENTS
    examples = {f"#/components/schemas/{model.__name__}": example(model) for model in RESPONSES}
    for operation in (operation for path in described["paths"].values() for operation in path.values()):
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _without_null(parameter["schema"])
        for content in operation["responses"].get("200", {}).get("content", {}).values():
            if (value := examples.get(content["schema"].get("$ref"))) is not None:
                content["examples"] = {"response": {"value": value}}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A missing parameter has no value, and null can't be sent."""
    kinds: list[dict[str, Any]] = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | kinds[0]


def example(model: type[BaseModel]) -> dict[str, Any]:
    """Built from the examples of the model's fields, and of the rows in it."""
    return {name: _example(field) for name, field in model.model_fields.items()}


def _example(field: FieldInfo) -> Any:
    if field.examples:
        return field.examples[0]
    # A row, or a list of rows, or a row that may be missing.
    row = next((kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)), None)
    if isinstance(row, type) and issubclass(row, BaseModel):
        return [example(row)] if get_origin(field.annotation) is list else example(row)
    return field.get_default()
