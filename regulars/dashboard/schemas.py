"""The rows that owners read: one model each, shared by the queries, the API, the pages and the CSV file.

A model is the one place that lists what is returned: `queries.select` builds the SELECT list from its fields, and
`api.responses` the JSON, the OpenAPI schema and the example. Amounts are exact and in the shop's currency, times have
a zone, and an unknown value is None, never 0.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, ClassVar, LiteralString
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema


def with_cents(amount: Decimal) -> Decimal:
    """At least two decimals; more where the storefront's own prices have more."""
    exponent = amount.as_tuple().exponent
    return amount.quantize(Decimal("0.01")) if isinstance(exponent, int) and exponent > -2 else amount


Number = Annotated[Decimal, WithJsonSchema({"type": "number"})]
Money = Annotated[Decimal, AfterValidator(with_cents), WithJsonSchema({"type": "number"})]
Rate = Annotated[Decimal, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]


@dataclass(frozen=True, slots=True)
class Sql:
    """The SQL expression of a field that is not the relation's column of the same name."""

    expression: LiteralString


class Row(BaseModel):
    """A row of `relation`, a view in schema `dashboard`. Each field is the column of its name, unless it has an Sql."""

    model_config = ConfigDict(frozen=True)

    relation: ClassVar[LiteralString]


class Shop(Row):
    relation = "shop_profiles"

    shop_id: UUID
    shop_name: str | None
    shop_slug: str | None
    country: str
    currency: str
    time_zone: str
    """IANA name; UTC where the storefront's name is unknown, as in every number."""


class Freshness(BaseModel):
    model_config = ConfigDict(frozen=True)

    as_of: datetime | None
    """Everything committed before this is in the numbers; None if no refresh has succeeded yet."""
    refreshed_at: datetime | None
    stale: bool
    """The numbers are older than REGULARS_STALE_AFTER_HOURS, or there are none."""
    has_failed: bool
    """The last refresh that ended did not succeed."""


class Cards(Row):
    """The numbers of a shop's nine cards. `cards` has the label and the meaning of each."""

    relation = "shop_overview"

    available_balance: Money = Field(examples=[120.5])
    total_profit: Money = Field(examples=[300.0])
    total_orders: int = Field(examples=[412])
    pending_withdrawals: int = Field(examples=[1])
    total_customers: int = Field(examples=[180])
    repeat_customers: int = Field(examples=[95])
    repeat_percentage: Number | None = Field(examples=[52.8])
    average_ltv: Money | None = Field(examples=[34.2])
    # The API's documented name is older than the column's.
    customer_revenue: Money = Field(examples=[6156.0], serialization_alias="total_revenue")


class Overview(Cards):
    """The cards, and the shop's current local month beside the one before."""

    month: Annotated[date, Sql("months.this")] = Field(
        examples=["2026-03-01"], description="First day of the shop's current local month."
    )
    new_customers_month: Annotated[int, Sql("coalesce(this.new_customers, 0)")] = Field(
        examples=[12], description="Customers whose first purchase is in the current month."
    )
    new_customers_previous_month: Annotated[int, Sql("coalesce(previous.new_customers, 0)")] = Field(examples=[20])
    active_customers_month: Annotated[int, Sql("coalesce(this.active_customers, 0)")] = Field(
        examples=[31], description="Customers with a sale in the current month."
    )
    active_customers_previous_month: Annotated[int, Sql("coalesce(previous.active_customers, 0)")] = Field(
        examples=[58]
    )
    revenue_month: Annotated[Money, Sql("coalesce(this.net_amount, 0)")] = Field(
        examples=[640.0], description="Net amount of the current month's sales."
    )
    revenue_previous_month: Annotated[Money, Sql("coalesce(previous.net_amount, 0)")] = Field(examples=[1320.5])
    sales_month: Annotated[int, Sql("coalesce(this.sales, 0)")] = Field(examples=[41])
    sales_previous_month: Annotated[int, Sql("coalesce(previous.sales, 0)")] = Field(examples=[83])


class AcquisitionMonth(Row):
    relation = "monthly_acquisition"

    month: date = Field(examples=["2026-03-01"])
    new_customers: int = Field(examples=[12])
    returning_customers: int = Field(examples=[19])
    active_customers: int = Field(examples=[31])
    sales: int = Field(examples=[41])
    net_amount: Money = Field(examples=[640.0])


class RepeatRate(Row):
    relation = "repeat_rates"

    month: date = Field(examples=["2026-03-01"])
    customers: int = Field(examples=[31])
    repeat_customers: int = Field(examples=[22])
    repeat_rate: Rate = Field(examples=[0.7097])


class CohortMonth(Row):
    relation = "cohort_retention"

    cohort_month: date = Field(examples=["2026-02-01"])
    months_since: int = Field(examples=[1])
    cohort_size: int = Field(examples=[20])
    active_customers: int = Field(examples=[7])
    retention_rate: Rate = Field(examples=[0.35])
    net_amount: Money = Field(examples=[140.0])


class SlugRow(Row):
    relation = "slug_analytics"

    slug: str = Field(examples=["march-promo"])
    visits: int = Field(examples=[250])
    converted_visits: int = Field(examples=[40])
    sales: int = Field(examples=[44])
    customers: int = Field(examples=[38])
    new_customers: int = Field(examples=[21])
    net_amount: Money = Field(examples=[690.0])
    conversion_rate: Rate | None = Field(examples=[0.16])


class RevenueDay(Row):
    relation = "shop_days"

    order_date: date
    sales: int
    net_amount: Money
    refunded_amount: Money


class CustomerRow(Row):
    """A customer with what they have bought. An erased customer's phone, e-mail and name are None."""

    relation = "customers"

    customer_id: Annotated[UUID, Sql("customers.shop_customer_id")] = Field(
        examples=["c1d5a1de-3b0c-4b6f-8a51-6f1f0f6f7d21"]
    )
    customer_name: Annotated[str | None, Sql("contacts.customer_name")] = Field(examples=["Ama"])
    phone_number: Annotated[str | None, Sql("contacts.phone_number")] = Field(examples=["+233241234567"])
    email: Annotated[str | None, Sql("contacts.email")] = Field(examples=[None])
    first_purchase_at: datetime = Field(examples=["2026-02-01T09:15:00+00:00"])
    last_purchase_at: datetime = Field(examples=["2026-03-12T18:40:00+00:00"])
    total_purchases: int = Field(examples=[3])
    total_spent: Money = Field(examples=[45.0])
    total_profit: Money = Field(examples=[6.5])
    average_order_value: Money = Field(examples=[15.0])
    repeat_customer: bool = Field(examples=[True])
    first_source_slug: str | None = Field(examples=["march-promo"])
    last_source_slug: str | None = Field(examples=[None])
    preferred_network: str | None = Field(examples=["MTN"])
    erased_at: Annotated[datetime | None, Sql("contacts.erased_at")] = Field(examples=[None])


class OrderRow(Row):
    relation = "orders"

    order_id: UUID = Field(examples=["7c9e6679-7425-40de-944b-e07fc1f90ae7"])
    ordered_at: datetime = Field(examples=["2026-03-12T18:40:00+00:00"])
    order_status: str | None = Field(examples=["completed"])
    payment_status: str | None = Field(examples=["completed"])
    is_sale: bool = Field(examples=[True])
    gross_amount: Money = Field(examples=[15.0])
    refunded_amount: Money = Field(examples=[0.0])
    net_amount: Money = Field(examples=[15.0])
    profit_amount: Money = Field(examples=[2.5])
    network: str | None = Field(examples=["MTN"])
    volume_gb: Number | None = Field(examples=[5])
    slug: str | None = Field(examples=["march-promo"])


class VisitRow(Row):
    relation = "visits"

    visit_id: UUID = Field(examples=["3f2b1c9a-8d4e-4c1b-b1a6-2e5d7a9c0f42"])
    visited_at: datetime = Field(examples=["2026-03-12T18:37:10+00:00"])
    slug: str | None = Field(examples=["march-promo"])
    referrer: str | None = Field(examples=[None])
    utm_source: str | None = Field(examples=["whatsapp"])
    utm_medium: str | None = Field(examples=[None])
    utm_campaign: str | None = Field(examples=[None])
    order_id: UUID | None = Field(examples=["7c9e6679-7425-40de-944b-e07fc1f90ae7"])


class CustomerHistory(BaseModel):
    model_config = ConfigDict(frozen=True)

    customer: CustomerRow
    orders: list[OrderRow]
    tracking: list[VisitRow]


class CustomerPage(BaseModel):
    model_config = ConfigDict(frozen=True)

    customers: list[CustomerRow]
    total: int
    """How many customers match the filter; without one, as many as the last refresh counted."""
    limit: int
    offset: int
    next_cursor: str | None
    """None on the last page."""
