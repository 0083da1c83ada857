"""What is answered to an owner: one model per row, the same for the API, the pages and the export.

Amounts are in the shop's currency and exact; times have a zone; what is not known is None and never 0.
"""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from json.encoder import encode_basestring
from types import NoneType
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

Sort = Literal[
    "last_purchase", "-last_purchase",
    "first_purchase", "-first_purchase",
    "total_spent", "-total_spent",
    "total_purchases", "-total_purchases",
]  # fmt: skip

MOST_ROWS = 200
FARTHEST_OFFSET = 1_000_000


def with_cents(amount: Decimal) -> Decimal:
    """At least two decimals; more, where the storefront's own prices have more, stand as they are."""
    exponent = amount.as_tuple().exponent
    return amount.quantize(Decimal("0.01")) if isinstance(exponent, int) and exponent > -2 else amount


Money = Annotated[Decimal, AfterValidator(with_cents), WithJsonSchema({"type": "number"})]
Rate = Annotated[Decimal, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]


class Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class Shop(Row):
    shop_id: UUID
    shop_name: str | None
    shop_slug: str | None
    country: str
    currency: str
    time_zone: str
    """IANA name; UTC where the storefront's can't be read, as in every number."""


class Freshness(Row):
    as_of: datetime | None
    """Everything that was committed before is in the numbers; None: no refresh has succeeded so far."""
    refreshed_at: datetime | None
    stale: bool
    """The numbers are older than a refresh should let them get, or there are none."""
    has_failed: bool
    """The last refresh that ended did not succeed."""


class Overview(Row):
    """The nine cards of one shop, and its current local month beside the one before."""

    shop_id: UUID
    currency: str
    time_zone: str
    available_balance: Money
    total_profit: Money
    total_orders: int
    pending_withdrawals: int
    total_customers: int
    repeat_customers: int
    repeat_percentage: Annotated[Decimal, WithJsonSchema({"type": "number"})] | None
    average_ltv: Money | None
    customer_revenue: Money
    refreshed_at: datetime
    month: date
    new_customers_month: int
    new_customers_previous_month: int
    active_customers_month: int
    active_customers_previous_month: int
    revenue_month: Money
    revenue_previous_month: Money
    sales_month: int
    sales_previous_month: int


class AcquisitionMonth(Row):
    month: date
    new_customers: int
    returning_customers: int
    active_customers: int
    sales: int
    net_amount: Money


class RepeatRate(Row):
    month: date
    customers: int
    repeat_customers: int
    repeat_rate: Rate


class CohortMonth(Row):
    cohort_month: date
    months_since: int
    cohort_size: int
    active_customers: int
    retention_rate: Rate
    net_amount: Money


class SlugRow(Row):
    slug: str
    visits: int
    converted_visits: int
    sales: int
    customers: int
    new_customers: int
    net_amount: Money
    conversion_rate: Rate | None


class RevenueDay(Row):
    order_date: date
    sales: int
    net_amount: Money
    refunded_amount: Money


class CustomerRow(Row):
    """A customer with what they have bought. Of an erased one phone, e-mail and name are None."""

    customer_id: UUID
    customer_name: str | None
    phone_number: str | None
    email: str | None
    first_purchase_at: datetime
    last_purchase_at: datetime
    total_purchases: int
    total_spent: Money
    total_profit: Money
    average_order_value: Money
    repeat_customer: bool
    first_source_slug: str | None
    last_source_slug: str | None
    preferred_network: str | None
    erased_at: datetime | None


class OrderRow(Row):
    order_id: UUID
    ordered_at: datetime
    order_status: str | None
    payment_status: str | None
    is_sale: bool
    gross_amount: Money
    refunded_amount: Money
    net_amount: Money
    profit_amount: Money
    network: str | None
    volume_gb: Annotated[Decimal, WithJsonSchema({"type": "number"})] | None
    slug: str | None


class VisitRow(Row):
    visit_id: UUID
    visited_at: datetime
    slug: str | None
    referrer: str | None
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    order_id: UUID | None


class CustomerHistory(Row):
    customer: CustomerRow
    orders: list[OrderRow]
    tracking: list[VisitRow]


def _whole_number(value: object) -> object:
    """As it is written and nothing else: pydantic would take `1.0`, ` 7` and `1_000` too."""
    if isinstance(value, str) and not (value.isascii() and value.removeprefix("-").isdecimal() and len(value) < 12):
        raise ValueError("is not a whole number")
    return value


def _yes_or_no(value: object) -> object:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("is not true or false")
    return value


def _storable(value: object) -> object:
    """PostgreSQL has no NUL in text, and UTF-8 no half of a surrogate pair."""
    if isinstance(value, str) and value != value.replace("\0", "").encode("utf-8", "ignore").decode("utf-8"):
        raise ValueError("holds a character that no text can have")
    return value


def _none_if_blank(value: object) -> object:
    """A form sends its empty fields too."""
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str | None, Field(max_length=100), BeforeValidator(_storable), BeforeValidator(_none_if_blank)]


class CustomerFilter(Row):
    """Which customers, and in which order. Fields that are not known raise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sort: Sort = Field(
        "-last_purchase", description="With - the largest or latest first. Ties are told apart by the customer's id."
    )
    repeat: Annotated[bool | None, BeforeValidator(_yes_or_no), BeforeValidator(_none_if_blank)] = Field(
        None, description="true: with two purchases or more; false: with one."
    )
    search: Text = Field(
        None, description="A phone in any spelling; or else a part of an e-mail address (with @) or of a name."
    )
    slug: Text = Field(None, description="The link of the first purchase; `unknown`: without one.")
    network: Text = Field(None, description="The network ordered most often.")


class CustomerQuery(CustomerFilter):
    """One page of customers."""

    limit: Annotated[int, BeforeValidator(_whole_number)] = Field(50, ge=1, le=MOST_ROWS)
    offset: Annotated[int, BeforeValidator(_whole_number)] = Field(0, ge=0, le=FARTHEST_OFFSET)
    cursor: Annotated[str | None, Field(max_length=400), BeforeValidator(_none_if_blank)] = Field(
        None, description="The next_cursor of the page before, of the same sort; goes without an offset."
    )

    @model_validator(mode="after")
    def _one_way_of_paging(self) -> Self:
        if self.cursor is not None and self.offset:
            raise ValueError("cursor and offset don't go together")
        return self


class CustomerPage(Row):
    customers: list[CustomerRow]
    total: int
    """How many customers the filter finds; without one as the last refresh counted them."""
    limit: int
    offset: int
    next_cursor: str | None
    """None: this was the last page."""


def as_json(value: Any) -> str:
    """JSON with every Decimal as the exact number that it is: pydantic would write text, floats would round."""
    if (write := _WRITERS.get(type(value))) is not None:
        return write(value)
    if isinstance(value, BaseModel):
        return "{" + ",".join([f'"{name}":{as_json(one)}' for name, one in value.__dict__.items()]) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_json, value)) + "]"
    raise TypeError(f"{type(value).__name__} has no place in an answer")


def _quoted(moment: Any) -> str:
    return f'"{moment.isoformat()}"'


# By exact type: a cohort chart is some thousands of values.
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
