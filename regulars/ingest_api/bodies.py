"""Request bodies: one event or a batch, in which each event is validated by itself."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from ingest.checkout import Checkout, Visit, clean_text
from regulars.web.problems import FieldError, Problem, field_error

MOST_EVENTS = 100
MOST_BYTES = 1024 * 1024
MOST_CHARACTERS = 300
MOST_CHARACTERS_OF_A_REFERRER = 2000

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:.*", re.ASCII | re.DOTALL)


def _require_full_time(moment: object) -> object:
    """Rejects a bare number: pydantic reads it as seconds or milliseconds since 1970, depending on its size."""
    if moment is not None and not (isinstance(moment, str) and _TIME.fullmatch(moment)):
        raise ValueError("is not a time such as 2026-03-14T12:00:00Z")
    return moment


def _require_this_century(moment: datetime | None) -> datetime | None:
    # Months are published without gaps: one visit in the year 9999 would add thousands.
    if moment is not None and not 2000 <= moment.year < 2100:
        raise ValueError("is not in this century")
    return moment


def _require_ascii(value: object) -> object:
    if isinstance(value, str) and not value.isascii():
        raise ValueError("is not a UUID")
    return value


Short = Annotated[str | None, Field(max_length=MOST_CHARACTERS), BeforeValidator(clean_text)]
Needed = Annotated[
    str,
    Field(max_length=MOST_CHARACTERS, json_schema_extra={"pattern": r"[^\s\x00-\x20\x7f-\xa0]"}),
    BeforeValidator(clean_text),
]
Address = Annotated[str | None, Field(max_length=MOST_CHARACTERS_OF_A_REFERRER), BeforeValidator(clean_text)]
Moment = Annotated[
    datetime | None,
    BeforeValidator(_require_full_time),
    AfterValidator(_require_this_century),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time", "pattern": "^20[0-9]{2}-"}, {"type": "null"}]}),
]
Id = Annotated[UUID, BeforeValidator(_require_ascii)]


class CheckoutBody(Checkout):
    """An order that the storefront has just written to `shop_orders`."""

    shop_id: Id
    slug: Short = Field(None, description="The link that the buyer opened, without the host.")
    accessed_at: Moment = Field(None, description="When the link was opened; UTC unless it has an offset. None: now.")
    referrer: Address = None
    utm_source: Short = None
    utm_medium: Short = None
    utm_campaign: Short = None
    order_id: Id
    phone: Short = Field(None, description="As the buyer typed it; it is read in the shop's country.")
    email: Short = None
    customer_name: Short = None
    visit_id: Id | None = Field(None, description="The visit that this purchase completes: the visit_id of its answer.")


class VisitBody(Visit):
    """Somebody opened a shop's link, and has not bought so far."""

    shop_id: Id
    slug: Short = Field(None, description="The link that was opened, without the host.")
    accessed_at: Moment = Field(None, description="When the link was opened; UTC unless it has an offset. None: now.")
    referrer: Address = None
    utm_source: Short = None
    utm_medium: Short = None
    utm_campaign: Short = None


class PersonBody(BaseModel):
    """A person of a shop."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    shop: Needed = Field(description="The shop's slug, the slug of one of its links, or the shop's id.")
    phone: Needed = Field(description="The person's phone in any spelling; it is read in the shop's country.")


class ErasureBody(PersonBody):
    """A person of a shop who is to be erased."""

    by: Short = Field(None, description="Who erases, as the proof records it. None: the database user.")


Body = TypeVar("Body", CheckoutBody, VisitBody)
AnyBody = TypeVar("AnyBody", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Events(Generic[Body]):
    """The events of a body, in order; in place of an event that can't be read, its errors."""

    is_batch: bool
    events: list[Body | list[FieldError]]


def parse(body: bytes, model: type[Body], *, plural: str) -> Events[Body]:
    """Reads one event, or `{plural: [event, …]}`. Raises Problem (422) if no part of it can be used."""
    content = _load(body)
    if not (isinstance(content, dict) and plural in content):
        return Events(is_batch=False, events=[_one(content, model)])
    events = content[plural]
    if len(content) > 1:
        raise _unreadable("#", f"holds an unknown field beside {plural}")
    if not isinstance(events, list):
        raise _unreadable(f"#/{plural}", "is not a list")
    if not 1 <= len(events) <= MOST_EVENTS:
        raise _unreadable(f"#/{plural}", f"holds {len(events):,} events; a batch takes 1 to {MOST_EVENTS}")
    return Events(
        is_batch=True,
        events=[_read(event, model, within=f"#/{plural}/{index}") for index, event in enumerate(events)],
    )


def parse_one(body: bytes, model: type[AnyBody]) -> AnyBody:
    """Reads one object. Raises Problem (422)."""
    return _one(_load(body), model)


def _load(body: bytes) -> object:
    try:
        # Python's own parser, because pydantic's refuses lone surrogates: a name that was cut in the middle of an emoji
        # must not cost a purchase.
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _unreadable("#", "is not JSON") from None


def _one(content: object, model: type[AnyBody]) -> AnyBody:
    event = _read(content, model, within="#")
    if isinstance(event, list):
        raise Problem(422, f"The {model.__name__.removesuffix('Body').lower()} can't be read.", errors=event)
    return event


def _read(event: object, model: type[AnyBody], *, within: str) -> AnyBody | list[FieldError]:
    try:
        return model.model_validate(event)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        # Each kind of error once: a body may have a million unknown fields.
        return list({(e["pointer"], e["detail"]): e for e in (field_error(d, within=within) for d in details)}.values())


def _unreadable(pointer: str, detail: str) -> Problem:
    return Problem(422, "The body can't be read.", errors=[{"pointer": pointer, "detail": detail}])


async def read_body(request: Request) -> bytes:
    """Raises Problem: 415 if it is not JSON; 413 if it is longer than MOST_BYTES, without reading the rest."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "The body must be JSON: send Content-Type: application/json.")
    too_long = Problem(413, f"The body is longer than {MOST_BYTES:,} bytes; split the batch.")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > MOST_BYTES:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise too_long
    return bytes(body)


def schema(model: type[BaseModel], *, plural: str) -> dict[str, Any]:
    """The JSON schema of the bodies that `parse` accepts."""
    one = model.model_json_schema()
    return {
        "anyOf": [
            one,
            {
                "type": "object",
                "title": plural.title(),
                "required": [plural],
                "additionalProperties": False,
                "properties": {
                    plural: {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_EVENTS},
                },
            },
        ]
    }
