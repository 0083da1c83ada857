"""What the API answers: the rows of `answers`, each with as of when it holds, and what /openapi.json says of it."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from regulars.dashboard.api.schemas import (
    AcquisitionMonth,
    CohortMonth,
    CustomerFilter,
    CustomerQuery,
    CustomerRow,
    Money,
    OrderRow,
    RepeatRate,
    SlugRow,
    Text,
    VisitRow,
)
from regulars.web.problems import MEDIA_TYPE

_SHOP = Field(None, description="The shop's slug or id; needed where the owner has several.")


class ShopQuery(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shop: Text = _SHOP


class ExportQuery(CustomerFilter):
    shop: Text = _SHOP


class ListQuery(CustomerQuery):
    shop: Text = _SHOP


class Answer(BaseModel):
    """Amounts are numbers in the shop's currency with two decimals or more; what is not known is null, never 0."""

    model_config = ConfigDict(frozen=True)

    success: Literal[True] = True
    shop_id: UUID
    currency: str
    time_zone: str = Field(description="Whose days and months are meant, and whose 1st.")
    as_of: datetime | None = Field(
        description="Everything that was committed before it is in the numbers. null: no refresh has counted the shop."
    )
    stale: bool = Field(description="The numbers are older than REGULARS_STALE_AFTER_HOURS, or there are none.")


class AnalyticsAnswer(Answer):
    """The nine cards, and the shop's current month beside the one before."""

    available_balance: Money | None = Field(None, description="Credited profit less withdrawals, never below 0.")
    total_profit: Money | None = Field(None, description="The shop's profit of all sales.")
    total_orders: int | None = Field(None, description="Number of sales.")
    pending_withdrawals: int | None = Field(None, description="Number of withdrawals pending.")
    total_customers: int | None = Field(None, description="Customers with at least one sale.")
    repeat_customers: int | None = Field(None, description="Of these, the ones with two or more.")
    repeat_percentage: Annotated[Decimal, WithJsonSchema({"type": "number"})] | None = Field(
        None, description="repeat_customers of 100 total_customers, to 1 decimal; null without a customer."
    )
    average_ltv: Money | None = Field(None, description="total_revenue / total_customers; null without a customer.")
    total_revenue: Money | None = Field(None, description="Net amount of all sales of known customers.")
    month: date | None = Field(None, description="The shop's current local month, by its first day.")
    new_customers_month: int | None = Field(None, description="Customers whose first purchase is in it.")
    new_customers_previous_month: int | None = None
    active_customers_month: int | None = Field(None, description="Customers with a sale in it.")
    active_customers_previous_month: int | None = None
    revenue_month: Money | None = Field(None, description="Net amount of its sales.")
    revenue_previous_month: Money | None = None
    sales_month: int | None = None
    sales_previous_month: int | None = None


class AcquisitionAnswer(Answer):
    months: list[AcquisitionMonth] = []


class RepeatRatesAnswer(Answer):
    months: list[RepeatRate] = []


class CohortsAnswer(Answer):
    cohorts: list[CohortMonth] = []


class SlugAnalyticsAnswer(Answer):
    slugs: list[SlugRow] = []


class ListAnswer(Answer):
    customers: list[CustomerRow] = []
    total: int | None = Field(None, description="How many the filter finds; with none, or only `repeat`, as of as_of.")
    limit: int
    offset: int
    next_cursor: str | None = Field(None, description="Of the next page; null on the last.")


class HistoryAnswer(Answer):
    customer: CustomerRow
    orders: list[OrderRow] = Field(description="Whatever became of them, the newest first; at most 1000.")
    tracking: list[VisitRow] = Field(description="The visits that brought these orders, the newest first.")


_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. `errors` names each parameter that is wrong and never the value given.",
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
            "description": "Where one of the owner's shops is to be named: what they can be named with.",
        },
    },
}


def _problem(status: int, title: str, detail: str, description: str, **members: Any) -> dict[str, Any]:
    example = {"type": "about:blank", "title": title, "status": status, "detail": detail} | members
    content = {"schema": _PROBLEM_SCHEMA, "examples": {"problem": {"value": example}}}
    return {"description": description, "content": {MEDIA_TYPE: content}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: _problem(401, "Unauthorized", "The token has expired.", "No token, or one that doesn't hold."),
    404: _problem(
        404,
        "Not Found",
        "You have no such shop.",
        "The owner has no such shop or customer; others' are not told apart.",
    ),
    422: _problem(
        422,
        "Unprocessable Content",
        "The query can't be read.",
        "A parameter can't be read, or one of several shops is to be named.",
        errors=[{"parameter": "limit", "detail": "is less than 1"}],
    ),
    500: _problem(500, "Internal Server Error", "Something broke in the dashboard.", "A defect of ours."),
    503: _problem(
        503,
        "Service Unavailable",
        "The numbers could not be loaded. Try again in a moment.",
        "The database did not answer, or not in time; Retry-After tells when to try again.",
    ),
}

_EXAMPLE_HEAD: dict[str, Any] = {
    "success": True,
    "shop_id": "0b6a8f0e-5f1c-4f6e-9a55-0d2f6f0a9c11",
    "currency": "GHS",
    "time_zone": "Africa/Accra",
    "as_of": "2026-03-14T02:30:05.123456+00:00",
    "stale": False,
}

_CUSTOMER: dict[str, Any] = {
    "customer_id": "c1d5a1de-3b0c-4b6f-8a51-6f1f0f6f7d21",
    "customer_name": "Ama",
    "phone_number": "+233241234567",
    "email": None,
    "first_purchase_at": "2026-02-01T09:15:00+00:00",
    "last_purchase_at": "2026-03-12T18:40:00+00:00",
    "total_purchases": 3,
    "total_spent": 45.0,
    "total_profit": 6.5,
    "average_order_value": 15.0,
    "repeat_customer": True,
    "first_source_slug": "march-promo",
    "last_source_slug": None,
    "preferred_network": "MTN",
    "erased_at": None,
}

EXAMPLES: dict[type[Answer], dict[str, Any]] = {
    AnalyticsAnswer: {
        "available_balance": 120.5, "total_profit": 300.0, "total_orders": 412, "pending_withdrawals": 1,
        "total_customers": 180, "repeat_customers": 95, "repeat_percentage": 52.8, "average_ltv": 34.2,
        "total_revenue": 6156.0, "month": "2026-03-01", "new_customers_month": 12, "new_customers_previous_month": 20,
        "active_customers_month": 31, "active_customers_previous_month": 58, "revenue_month": 640.0,
        "revenue_previous_month": 1320.5, "sales_month": 41, "sales_previous_month": 83,
    },
    AcquisitionAnswer: {
        "months": [
            {
                "month": "2026-03-01", "new_customers": 12, "returning_customers": 19, "active_customers": 31,
                "sales": 41, "net_amount": 640.0,
            }
        ]
    },
    RepeatRatesAnswer: {
        "months": [{"month": "2026-03-01", "customers": 31, "repeat_customers": 22, "repeat_rate": 0.7097}]
    },
    CohortsAnswer: {
        "cohorts": [
            {
                "cohort_month": "2026-02-01", "months_since": 1, "cohort_size": 20, "active_customers": 7,
                "retention_rate": 0.35, "net_amount": 140.0,
            }
        ]
    },
    SlugAnalyticsAnswer: {
        "slugs": [
            {
                "slug": "march-promo", "visits": 250, "converted_visits": 40, "sales": 44, "customers": 38,
                "new_customers": 21, "net_amount": 690.0, "conversion_rate": 0.16,
            }
        ]
    },
    ListAnswer: {"customers": [_CUSTOMER], "total": 180, "limit": 50, "offset": 0, "next_cursor": None},
    HistoryAnswer: {
        "customer": _CUSTOMER,
        "orders": [
            {
                "order_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "ordered_at": "2026-03-12T18:40:00+00:00",
                "order_status": "completed", "payment_status": "completed", "is_sale": True, "gross_amount": 15.0,
                "refunded_amount": 0.0, "net_amount": 15.0, "profit_amount": 2.5, "network": "MTN", "volume_gb": 5,
                "slug": "march-promo",
            }
        ],
        "tracking": [
            {
                "visit_id": "3f2b1c9a-8d4e-4c1b-b1a6-2e5d7a9c0f42", "visited_at": "2026-03-12T18:37:10+00:00",
                "slug": "march-promo", "referrer": None, "utm_source": "whatsapp", "utm_medium": None,
                "utm_campaign": None, "order_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            }
        ],
    },
}  # fmt: skip

_HEADERS: dict[str, Any] = {
    "ETag": {"schema": {"type": "string"}, "description": "A hash of the answer, for If-None-Match."},
    "Cache-Control": {"schema": {"type": "string"}},
}


def answers(model: type[Answer]) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`."""
    example = _EXAMPLE_HEAD | EXAMPLES[model]
    return {
        200: {
            "model": model,
            "description": "The numbers, and as of when they hold.",
            "headers": _HEADERS,
            "content": {"application/json": {"examples": {"answer": {"value": example}}}},
        },
        304: {"description": "As the ETag given says: nothing has changed.", "headers": _HEADERS},
        **PROBLEMS,
    }
