"""Errors as RFC 9457 problems (application/problem+json), which name the wrong field and never repeat its value."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TypedDict

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class FieldError(TypedDict):
    """A wrong field: its place in the body as a JSON pointer, and the reason."""

    pointer: str
    detail: str


class ParameterError(TypedDict):
    """A wrong parameter of the query or the path: its name, and the reason."""

    parameter: str
    detail: str


class Problem(Exception):
    """An error response. `members` are further members of its body."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldError | ParameterError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.members = members or {}

    def response(self) -> JSONResponse:
        content: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            content["errors"] = list(self.errors)
        content |= self.members
        return JSONResponse(content, status_code=self.status, headers=dict(self.headers or {}), media_type=MEDIA_TYPE)


# The path and the method are not repeated, because they may be anything.
_DETAILS = {
    404: "There is nothing at this path; /openapi.json lists what there is.",
    405: "This path does not take this method; the header Allow lists those it takes.",
    500: "Something broke on our side. Try again: what is sent twice counts once.",
}


async def answer_problem(_: Request, error: Exception) -> JSONResponse:
    """Handles a Problem."""
    if not isinstance(error, Problem):
        raise TypeError(type(error).__name__)
    return error.response()


async def answer_exception(_: Request, error: Exception) -> JSONResponse:
    """Handles what the framework itself refuses."""
    if not isinstance(error, HTTPException):
        raise TypeError(type(error).__name__)
    return of_status(error.status_code, headers=error.headers).response()


def of_status(status: int, *, headers: Mapping[str, str] | None = None) -> Problem:
    return Problem(status, _DETAILS.get(status, f"{HTTPStatus(status).phrase}."), headers=headers)


_REASONS = {
    "missing": "is missing",
    "string_type": "is not text",
    "model_type": "is not an object",
    "model_attributes_type": "is not an object",
    "extra_forbidden": "holds a field that is not known",
}


def field_error(error: ErrorDetails, *, within: str) -> FieldError:
    """An error of pydantic's, whose own message may repeat a part of the value or the name of an unknown field."""
    kind = error["type"]
    path = [str(step) for step in error["loc"]]
    if kind == "extra_forbidden":
        path = path[:-1]
    pointer = "/".join([within, *path])
    if kind == "string_too_long":
        return {"pointer": pointer, "detail": f"is longer than {error['ctx']['max_length']} characters"}
    if kind == "value_error":
        return {"pointer": pointer, "detail": str(error["ctx"]["error"])}
    if kind.startswith("uuid"):
        return {"pointer": pointer, "detail": "is not a UUID"}
    if kind.startswith("datetime"):
        return {"pointer": pointer, "detail": "is not a time such as 2026-03-14T12:00:00Z"}
    return {"pointer": pointer, "detail": _REASONS.get(kind, "can't be read")}
