"""What /openapi.json says of each route: the response with an example, the headers, and the errors."""

from http import HTTPStatus
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from regulars.dashboard.api.responses import ShopResponse
from regulars.web.problems import MEDIA_TYPE

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. `errors` names each wrong parameter and never repeats its value.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["parameter", "detail"],
                "properties": {"parameter": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "shops": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The values that `shop` may have, where the owner has several shops and named none.",
        },
    },
}


def problem(status: int, detail: str, description: str, **members: Any) -> dict[str, Any]:
    """For a route's `responses`."""
    example = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail} | members
    content = {"schema": _PROBLEM_SCHEMA, "examples": {"problem": {"value": example}}}
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
