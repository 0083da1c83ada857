"""The rows that owners read: one model each, shared by the queries, the API, the pages and the CSV file.

A model is the one place that lists what is returned: `queries.select` builds the SELECT list from its fields, and
`api.responses` the JSON, the OpenAPI schema and the example. Amounts are exact and in the shop's currency, times have
a zone, and an unknown value is None, never 0.
"""

from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Annotated, ClassVar, LiteralString
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from regulars.dashboard.zones import zone_of


def with_cents(amount: Decimal) -> Decimal:
    """At least two decimals; more where the storefront's own prices have more."""
    exponent = amount.as_tuple().exponent
    return amount.quantize(Decimal("0.01")) if isinstance(exponent, int) and exponent > -2 else amount


Number = Annotated[Decimal, WithJsonSchema({"type": "number", "format": "decimal"})]
Money = Annotated[Decimal, AfterValidator(with_cents), WithJsonSchema({"type": "number", "format": "decimal"})]
Rate = Annotated[Decimal, WithJsonSchema({"type": "number", "format": "decimal", "minimum": 0, "maximum": 1})]


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
    # The storefront's columns may be NULL. The defaults are those of the marts and of the matching.
    country: Annotated[str, Sql("coalesce(cast(shop_profiles.country as text), '')")]
    currency: Annotated[str, Sql("coalesce(cast(shop_profiles.currency as text), 'GHS')")]
    time_zone: Annotated[str, Sql("coalesce(cast(shop_profiles.time_zone as text), 'UTC')")]
    """The IANA's name, or an offset such as UTC-05:30; UTC where the storefront's name is unknown, as in the marts."""

    @property
    def zone(self) -> tzinfo:
        return zone_of(self.time_zone)


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
    """The numbers of a shop's cards that count from the first day. `cards` has the label and the meaning of each."""

    relation = "shop_overview"

    available_balance: Money = Field(examples=[120.5])
    total_profit: Money = Field(examples=[300.0])
    total_orders: int = Field(examples=[412])
    pending_withdrawals: int = Field(examples=[1])
    total_customers: int = Field(examples=[180])
    repeat_customers: int = Field(examples=[95])
    repeat_percentage: Number | None = Field(
        examples=[52.8], description="Repeat customers as a percentage of all customers; null without customers."
    )
    average_ltv: Money | None = Field(examples=[34.2])
    # The API's documented name is older than the column's.
    customer_revenue: Money = Field(examples=[6156.0], serialization_alias="total_revenue")


class Overview(Cards):
    """The cards, and the shop's current local month beside the one before."""

    month: Annotated[date, Sql("months.this")] = Field(
        examples=["2026-03-01"], description="First day of the shop's current local month."
    )
    new_customers_month: Annotated[int, Sql("coalesce(this.new_customers, 0)")] = Field(examples=[12])
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
    """Four rates, each with its numerator and denominator; in a month without customers they are None."""

    relation = "repeat_rates"

    month: date = Field(examples=["2026-03-01"])
    customers: int = Field(examples=[31], description="Customers with a sale in the month.")
    repeat_customers: int = Field(
        examples=[22], description="Of these, those who had bought before, in an earlier month or in this one."
    )
    repeat_rate: Rate | None = Field(examples=[0.7097], description="repeat_customers / customers")
    repeat_customers_to_date: int = Field(
        examples=[95], description="Customers with at least two purchases up to the month's end."
    )
    customers_to_date: int = Field(examples=[180], description="Customers with a purchase up to the month's end.")
    lifetime_repeat_rate: Rate | None = Field(
        examples=[0.5278], description="repeat_customers_to_date / customers_to_date"
    )
    two_purchase_customers: int = Field(examples=[8], description="Customers with at least two purchases in the month.")
    in_month_repeat_rate: Rate | None = Field(examples=[0.2581], description="two_purchase_customers / customers")
    returning_customers: int = Field(
        examples=[19], description="Customers of the month whose first purchase was in an earlier one."
    )
    returning_share: Rate | None = Field(examples=[0.6129], description="returning_customers / customers")


class MovementMonth(Row):
    """active = new + retained + reactivated; lapsed are those of the month before who did not buy in this one."""

    relation = "monthly_movement"

    month: date = Field(examples=["2026-03-01"])
    active_customers: int = Field(examples=[31], description="Customers with a purchase in the month.")
    new_customers: int = Field(examples=[12], description="Their first purchase fell in the month.")
    retained_customers: int = Field(examples=[14], description="They bought in the month before, too.")
    reactivated_customers: int = Field(examples=[5], description="They had bought before, but not in the month before.")
    lapsed_customers: int = Field(
        examples=[9],
        description="Active in the month before and not in this one; final only when this one is over.",
    )


class CohortMonth(Row):
    relation = "cohort_retention"

    cohort_month: date = Field(examples=["2026-02-01"])
    months_since: int = Field(examples=[1])
    cohort_size: int = Field(examples=[20])
    active_customers: int = Field(examples=[7])
    retention_rate: Rate = Field(examples=[0.35])
    net_amount: Money = Field(examples=[140.0])


class LifetimeValueMonth(Row):
    """A cohort's purchases from the first one to the end of a month; averages are None until the month is over."""

    relation = "lifetime_values"

    cohort_month: date = Field(examples=["2026-02-01"])
    months_since: int = Field(examples=[1])
    matures_on: date = Field(examples=["2026-04-01"], description="The first day after the month.")
    is_mature: bool = Field(examples=[True], description="The shop's current local day has reached `matures_on`.")
    customers: int = Field(examples=[20])
    purchases: int = Field(examples=[9], description="In the month; what ends in `_to_date` is since the first one.")
    gross_amount: Money = Field(examples=[150.0])
    refunded_amount: Money = Field(examples=[10.0])
    net_amount: Money = Field(examples=[140.0])
    profit_amount: Money = Field(examples=[21.0])
    purchases_to_date: int = Field(examples=[34])
    gross_amount_to_date: Money = Field(examples=[560.0])
    refunded_amount_to_date: Money = Field(examples=[10.0])
    net_amount_to_date: Money = Field(examples=[550.0])
    profit_amount_to_date: Money = Field(examples=[80.0])
    purchases_per_customer: Number | None = Field(examples=[1.7])
    net_per_customer: Money | None = Field(
        examples=[27.5], description="Lifetime value: net_amount_to_date / customers."
    )
    profit_per_customer: Money | None = Field(examples=[4.0])


class CohortWindow(Row):
    """What a cohort did within so many days of each customer's own first purchase."""

    relation = "cohort_windows"

    cohort_month: date = Field(examples=["2026-02-01"])
    window_days: int = Field(examples=[30], description="30, 60, 90, 180 or 365; day 0 is that of the first purchase.")
    matures_on: date = Field(
        examples=["2026-03-31"], description="The first day on which the window is over for every customer."
    )
    is_mature: bool = Field(examples=[True], description="The shop's current local day has reached `matures_on`.")
    customers: int = Field(examples=[20])
    repeat_customers: int = Field(examples=[7], description="Their second purchase fell in their window.")
    repurchase_rate: Rate | None = Field(
        examples=[0.35], description="repeat_customers / customers; null until mature."
    )
    purchases: int = Field(examples=[31])
    gross_amount: Money = Field(examples=[510.0])
    refunded_amount: Money = Field(examples=[10.0])
    net_amount: Money = Field(examples=[500.0])
    profit_amount: Money = Field(examples=[74.0])
    net_per_customer: Money | None = Field(examples=[25.0], description="net_amount / customers; null until mature.")
    profit_per_customer: Money | None = Field(examples=[3.7], description="Null until mature.")


_LATER = "What its new customers bought after their first purchase, within so many days, by whatever link, so far."
_LATER_EACH = "The same of the customers who have had the days, divided by their number; null without any."


class LinkRow(Row):
    """A link as a funnel, with first-touch and last-touch credit; slugs that rotate are one link."""

    relation = "link_analytics"

    link: str = Field(examples=["WhatsApp status"], description="The label of slugs that rotate, otherwise the slug.")
    current_slug: str | None = Field(examples=["march-promo"])
    former_slugs: str | None = Field(examples=["feb-promo, jan-promo"], description="The newest first.")
    visits: int = Field(examples=[250])
    converted_visits: int = Field(examples=[40])
    conversion_rate: Rate | None = Field(examples=[0.16], description="converted_visits / visits")
    orders: int = Field(examples=[51], description="Whatever became of them.")
    sales: int = Field(examples=[44])
    new_customers: int = Field(examples=[21], description="Their first purchase ever came by the link.")
    returning_customers: int = Field(
        examples=[17], description="They had bought before, and came by this link for the first time."
    )
    last_touch_net_amount: Money = Field(
        examples=[690.0], description="Net amount of the sales that it brought itself."
    )
    first_touch_net_amount: Money = Field(
        examples=[820.0],
        description="Net amount of all sales to its new customers. Each of the two adds up to the shop's.",
    )
    later_net_amount_30: Money = Field(examples=[120.0], description=_LATER)
    mature_customers_30: int = Field(examples=[18])
    later_net_per_customer_30: Money | None = Field(examples=[6.0], description=_LATER_EACH)
    later_net_amount_90: Money = Field(examples=[260.0], description=_LATER)
    mature_customers_90: int = Field(examples=[11])
    later_net_per_customer_90: Money | None = Field(examples=[14.2], description=_LATER_EACH)
    later_net_amount_365: Money = Field(examples=[300.0], description=_LATER)
    mature_customers_365: int = Field(examples=[0])
    later_net_per_customer_365: Money | None = Field(examples=[None], description=_LATER_EACH)


class CampaignRow(Row):
    relation = "campaign_analytics"

    utm_source: str = Field(examples=["whatsapp"], description="`unknown` if there is none, as in the other two.")
    utm_medium: str = Field(examples=["status"])
    utm_campaign: str = Field(examples=["unknown"])
    visits: int = Field(examples=[130])
    converted_visits: int = Field(examples=[22])
    conversion_rate: Rate | None = Field(examples=[0.1692])
    orders: int = Field(examples=[27])
    sales: int = Field(examples=[23])
    new_customers: int = Field(examples=[9])
    last_touch_net_amount: Money = Field(examples=[310.0])
    first_touch_net_amount: Money = Field(examples=[280.0])


class NetworkMonth(Row):
    relation = "network_shares"

    month: date = Field(examples=["2026-03-01"])
    network: str = Field(examples=["MTN"], description="`unknown` keeps the sales that name none.")
    sales: int = Field(examples=[25])
    net_amount: Money = Field(examples=[390.0])
    active_customers: int = Field(examples=[20])
    share_of_sales: Rate = Field(examples=[0.6098])
    share_of_customers: Rate | None = Field(
        examples=[0.6452], description="A customer of two networks counts at each; null without known customers."
    )


class NetworkSwitch(Row):
    """How often a customer's main network changed in a month, from one to another."""

    relation = "network_switches"

    month: date = Field(examples=["2026-03-01"])
    from_network: str = Field(examples=["Telecel"])
    to_network: str = Field(examples=["MTN"])
    switches: int = Field(examples=[2])


class ForecastFit(Row):
    """An attempt at a fit of the BG/NBD and the gamma-gamma model to a shop's customers."""

    relation = "forecast_fits"

    fit_id: int = Field(examples=[12])
    fitted_at: datetime = Field(examples=["2026-03-08T02:30:05.123456+00:00"])
    fitted_through: date = Field(
        examples=["2026-03-07"], description="The last day of the data; predictions begin after it."
    )
    customers: int = Field(examples=[180])
    repeat_customers: int = Field(examples=[95], description="Customers who bought on two days or more.")
    converged: bool = Field(examples=[True])
    reason: str | None = Field(examples=[None], description="Why the fit gave nothing to predict with, in words.")
    amount_reason: str | None = Field(examples=[None], description="Why amounts are not predicted, in words.")


class ForecastHorizon(Row):
    """What the shop's customers so far are expected to buy, by the fit in use."""

    relation = "shop_forecasts"

    horizon_days: int = Field(examples=[30])
    fit_id: int = Field(examples=[12])
    from_day: date = Field(examples=["2026-03-08"], description="The first day that is predicted.")
    matures_on: date = Field(examples=["2026-04-07"], description="The first day after the last that is predicted.")
    customers: int = Field(examples=[180])
    expected_purchases: Number = Field(examples=[61.5], description="Purchases of a customer on one day count as one.")
    expected_net_amount: Money | None = Field(examples=[940.2])


class ForecastError(Row):
    """The last prediction over so many days that has matured, beside what the same customers then bought."""

    relation = "forecast_accuracy"

    horizon_days: int = Field(examples=[30])
    fit_id: int | None = Field(examples=[7], description="null, like what follows, until a prediction has matured.")
    from_day: date | None = Field(examples=["2026-02-01"])
    matures_on: date | None = Field(examples=["2026-03-03"])
    customers: int | None = Field(examples=[160])
    expected_purchases: Number | None = Field(examples=[58.1])
    actual_purchases: int | None = Field(examples=[55])
    purchases_error: Number | None = Field(examples=[5.6], description="In percent; above 0: too much was expected.")
    expected_net_amount: Money | None = Field(examples=[880.0])
    actual_net_amount: Money | None = Field(examples=[901.5])
    net_amount_error: Number | None = Field(examples=[-2.4])
    next_matures_on: date | None = Field(
        examples=["2026-03-10"], description="When the next prediction can be checked."
    )


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

    order_date: date = Field(examples=["2026-03-13"])
    sales: int = Field(examples=[3])
    net_amount: Money = Field(examples=[45.0])
    refunded_amount: Money = Field(examples=[0.0])


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


class ListedCustomer(CustomerRow):
    """A customer as the API and the pages return them. The storefront's own pages read the id under its own name."""

    id: Annotated[UUID, Sql("customers.shop_customer_id")] = Field(
        examples=["c1d5a1de-3b0c-4b6f-8a51-6f1f0f6f7d21"], description="The same as `customer_id`."
    )


class PhoneRow(Row):
    """A customer's phone number alone; None after an erasure."""

    relation = "customers"

    phone_number: Annotated[str | None, Sql("contacts.phone_number")] = Field(examples=["+233241234567"])


class OrderRow(Row):
    """An order; some columns also have the storefront's name, which its own pages read."""

    relation = "orders"

    order_id: UUID = Field(examples=["7c9e6679-7425-40de-944b-e07fc1f90ae7"])
    id: Annotated[UUID, Sql("orders.order_id")] = Field(
        examples=["7c9e6679-7425-40de-944b-e07fc1f90ae7"], description="The same as `order_id`."
    )
    reference_code: str | None = Field(
        examples=["ORD-1731-X7K2"],
        description="The storefront's own; `hidden` where it looks like a phone number or an e-mail address.",
    )
    ordered_at: datetime = Field(examples=["2026-03-12T18:40:00+00:00"])
    created_at: Annotated[datetime, Sql("orders.ordered_at")] = Field(
        examples=["2026-03-12T18:40:00+00:00"], description="The same as `ordered_at`."
    )
    order_status: str | None = Field(examples=["completed"])
    payment_status: str | None = Field(examples=["completed"])
    is_sale: bool = Field(examples=[True])
    total_price: Money = Field(
        examples=[15.0], description="The price as ordered, for orders of any status. To add up, use net_amount."
    )
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


class CustomerPage(BaseModel):
    model_config = ConfigDict(frozen=True)

    customers: list[ListedCustomer]
    total: int
    """How many customers match the filter; without one, as many as the last refresh counted."""
    limit: int
    offset: int
    next_cursor: str | None
    """None on the last page."""
