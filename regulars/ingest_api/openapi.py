"""The contents of /openapi.json besides the paths: schemas, examples, and every status that may be returned."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from ingest.answer import Outcome
from regulars.ingest_api.bodies import CheckoutBody, ErasureBody, PersonBody, VisitBody, schema
from regulars.web.problems import MEDIA_TYPE

NOT_STORED = "Neither the database nor this machine's disk took it: it is not stored. Send it again; it counts once."

_SHOP = "0b6a8f0e-5f1c-4f6e-9a55-0d2f6f0a9c11"
_ORDER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
_VISIT = "3f2b1c9a-8d4e-4c1b-b1a6-2e5d7a9c0f42"
_CUSTOMER = "c1d5a1de-3b0c-4b6f-8a51-6f1f0f6f7d21"


class AnswerBody(BaseModel):
    """The answer to one event."""

    outcome: Outcome
    customer_id: UUID | None = None
    visit_id: UUID | None = Field(None, description="For a visit: the visit_id for its checkout.")
    reason: str | None = Field(None, description="Why the phone can't be read, or why the event was spooled.")


CHECKOUT: dict[str, Any] = {
    "shop_id": _SHOP,
    "order_id": _ORDER,
    "phone": "024 123 4567",
    "email": "ama@example.com",
    "customer_name": "Ama",
    "visit_id": _VISIT,
    "slug": "march-promo",
}

VISIT: dict[str, Any] = {"shop_id": _SHOP, "slug": "march-promo", "utm_source": "whatsapp"}

PERSON: dict[str, Any] = {"shop": "ama-data", "phone": "024 123 4567"}

ERASURE: dict[str, Any] = PERSON | {"by": "Yaw, data protection"}

_MATCHED = {"outcome": "new_customer", "customer_id": _CUSTOMER, "visit_id": _VISIT, "reason": None}
_NOTED = {"outcome": "noted", "customer_id": None, "visit_id": _VISIT, "reason": None}
_SPOOLED = {"outcome": "spooled", "customer_id": None, "visit_id": None, "reason": "TookTooLong"}
_INVALID = {"outcome": "invalid", "errors": [{"pointer": "#/checkouts/1/shop_id", "detail": "is missing"}]}

_REFUSED = {"outcome": "refused", "customer_id": None, "visit_id": None, "reason": None}
_NOT_STORED = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": NOT_STORED,
}

_FIELD_ERROR = {
    "type": "object",
    "required": ["pointer", "detail"],
    "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
}

_INVALID_SCHEMA = {
    "type": "object",
    "description": "An event of the batch that can't be read; it is not stored.",
    "required": ["outcome", "errors"],
    "properties": {"outcome": {"const": "invalid"}, "errors": {"type": "array", "items": _FIELD_ERROR}},
}

_ANSWER_SCHEMA = AnswerBody.model_json_schema()

_ANSWERS = {
    "type": "array",
    "description": "One answer to each event of the batch, in order.",
    "items": {"anyOf": [_ANSWER_SCHEMA, _INVALID_SCHEMA]},
}

_ANSWERS_SCHEMA = {"type": "object", "required": ["answers"], "properties": {"answers": _ANSWERS}}

_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457. `errors` names each invalid field, but never its value. Only a batch that was not stored "
    "whole has `answers`.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": _FIELD_ERROR},
        "answers": _ANSWERS,
    },
}


def _problem(description: str, **examples: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: _content(_PROBLEM_SCHEMA, examples)}}


def _answer(description: str, **examples: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": _content({"anyOf": [_ANSWER_SCHEMA, _ANSWERS_SCHEMA]}, examples)},
    }


def _content(of: dict[str, Any], examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {"schema": of, "examples": {name: {"value": value} for name, value in examples.items()}}


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: _problem("The token is missing or unknown."),
    405: _problem("This path does not support the method."),
    413: _problem("The body is too long."),
    415: _problem("The content type is not JSON."),
    422: _problem(
        "The body can't be read; nothing was stored.",
        missing={
            "type": "about:blank",
            "title": "Unprocessable Content",
            "status": 422,
            "detail": "The checkout can't be read.",
            "errors": [{"pointer": "#/shop_id", "detail": "is missing"}],
        },
    ),
    500: _problem("An internal error. Send it again."),
    503: _problem(
        "Neither the database nor the disk took it, so it is not stored. Send it again; it counts once. For a batch: "
        "at least one event was `refused`, and `answers` has the answer to each, as for 200.",
        one=_NOT_STORED,
        batch=_NOT_STORED | {"answers": [_MATCHED, _REFUSED]},
    ),
}

_MIXED = _answer(
    "A batch in which some events can't be read: those are not stored, the others are.",
    batch={"answers": [_MATCHED, _INVALID]},
)

CHECKOUT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer(
        "The order was tracked; its outcome says how. For a batch: every event is stored.",
        one=_MATCHED,
        batch={"answers": [_MATCHED, _SPOOLED]},
    ),
    202: _answer("The event is stored, and will be written later.", one=_SPOOLED),
    207: _MIXED,
    **_PROBLEMS,
}

VISIT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer("For a batch: every event is stored.", batch={"answers": [_NOTED]}),
    201: _answer("The visit is recorded.", one=_NOTED),
    202: _answer(
        "The visit is stored, and will be written later. Its id is valid already.", one=_SPOOLED | {"visit_id": _VISIT}
    ),
    207: _MIXED,
    **_PROBLEMS,
}


class ErasedBody(BaseModel):
    """What an erasure did; if `was_erased`, only what an earlier erasure had left over."""

    erased_at: datetime
    erased_by: str
    was_erased: bool = Field(description="The person had been erased before; `erased_at` and `erased_by` are of then.")
    orders: int = Field(description="Orders that held the person's identity; they stay without it.")
    events: int = Field(description="Failed, disputed or spooled events that held the person's identity.")
    unresolved: list[int] = Field(
        description="Numbers of spooled events that may belong to this person or to anybody, and were left as they "
        "are: their phone can't be read, and no known order or e-mail says whose they are."
    )


class HeldBody(BaseModel):
    """Everything that is held about a person."""

    phone: str
    customer: dict[str, Any] | None
    storefront_customers: list[dict[str, Any]] = Field(
        description="Rows of the person in the storefront's own shop_customers, if it has that table."
    )
    orders: list[dict[str, Any]]
    visits: list[dict[str, Any]] = Field(
        description="Visits that the person's orders completed; `order_id` is null where that order has been deleted."
    )
    storefront_visits: list[dict[str, Any]] = Field(
        description="Rows of the person's orders in the storefront's own customer_tracking, if it has that table."
    )
    conflicts: list[dict[str, Any]] = Field(description="Checkouts that disputed an earlier one of the same order.")
    failures: list[dict[str, Any]] = Field(description="Checkouts that failed and will be tried again.")
    spooled: list[dict[str, Any]] = Field(description="Events that wait in this machine's spool.")


def _answer_of(model: type[BaseModel], description: str, example: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": _content(model.model_json_schema(), {"one": example})},
    }


_PERSON_PROBLEMS = _PROBLEMS | {
    404: _problem(
        "No shop has this slug, or the shop holds nothing about this phone: `errors` names the field.",
        nobody={
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "This shop holds nothing about that phone: it was erased on 2026-03-14 (UTC).",
            "errors": [{"pointer": "#/phone", "detail": "matches no customer of this shop"}],
        },
    ),
    503: _problem(
        "The database or the spool is not available, the database user lacks the privilege, orders are being loaded, "
        "or REGULARS_ERASURE_KEY is not set. `detail` says which."
    ),
}

ERASURE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer_of(
        ErasedBody,
        "The person's identity has been removed from the database and from this machine's spool.",
        {
            "erased_at": "2026-03-14T12:00:00+00:00",
            "erased_by": "Yaw, data protection",
            "was_erased": False,
            "orders": 3,
            "events": 0,
            "unresolved": [],
        },
    ),
    **_PERSON_PROBLEMS,
}

ACCESS_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer_of(
        HeldBody,
        "Everything that is held about the person.",
        {
            "phone": "+233241234567",
            "customer": {
                "customer_id": _CUSTOMER,
                "email": "ama@example.com",
                "customer_name": "Ama",
                "first_seen_at": "2026-03-14 12:00:00+00",
            },
            "storefront_customers": [],
            "orders": [{"order_id": _ORDER, "customer_phone": "024 123 4567", "total_price": "10.00"}],
            "visits": [{"visit_id": _VISIT, "order_id": _ORDER, "accessed_via_slug": "march-promo"}],
            "storefront_visits": [],
            "conflicts": [],
            "failures": [],
            "spooled": [],
        },
    ),
    **_PERSON_PROBLEMS,
}


def person_body(model: type[PersonBody] | type[ErasureBody], *, example: dict[str, Any]) -> dict[str, Any]:
    """For a route's `openapi_extra`, because the body is parsed by hand."""
    content = {"application/json": _content(model.model_json_schema(), {"one": example})}
    return {"requestBody": {"required": True, "content": content}}


def request_body(
    model: type[CheckoutBody] | type[VisitBody], *, plural: str, example: dict[str, Any]
) -> dict[str, Any]:
    """For a route's `openapi_extra`: the body is parsed by hand, so that an invalid event doesn't cost the others."""
    examples = {"one": example, "batch": {plural: [example]}}
    content = {"application/json": _content(schema(model, plural=plural), examples)}
    return {"requestBody": {"required": True, "content": content}}
