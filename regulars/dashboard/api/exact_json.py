"""JSON with exact numbers for Decimals: pydantic would write text, and a float would round."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from json.encoder import encode_basestring
from types import NoneType
from typing import Any
from uuid import UUID

from pydantic import BaseModel


def as_json(value: Any) -> str:
    """Raises TypeError for a type that no response has."""
    if (write := _WRITERS.get(type(value))) is not None:
        return write(value)
    if isinstance(value, BaseModel):
        return "{" + ",".join([f'"{name}":{as_json(one)}' for name, one in value.__dict__.items()]) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_json, value)) + "]"
    raise TypeError(f"{type(value).__name__} can't be written as JSON")


def _quoted(moment: Any) -> str:
    return f'"{moment.isoformat()}"'


# By exact type, because a cohort chart has thousands of values.
_WRITERS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: repr,
    bool: lambda truth: "true" if truth else "false",
    NoneType: lambda _: "null",
    Decimal: lambda number: format(number, "f"),
    datetime: _quoted,
    date: _quoted,
    UUID: lambda one: f'"{one}"',
}
