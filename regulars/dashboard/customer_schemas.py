"""What is shown of one customer, as `schemas` has the other rows: their orders, rhythm and forecast."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from regulars.dashboard.schemas import ListedCustomer, Money, Number, OrderRow, Rate, Row, Sql, VisitRow


class CustomerRhythm(Row):
    """How often a customer buys, and whether they are late by it, on the shop's current local day."""

    relation = "customer_rhythms"

    state: str | None = Field(
        examples=["at risk"], description="active, due, at risk or lapsed; null while the shop has no gap."
    )
    reason: str = Field(
        examples=["buys every 9 days; 24 days ago"], description="The state in words, or why there is none."
    )
    gap_days: Number | None = Field(examples=[9], description="The median of the days between two purchase days.")
    uses_shop_median: bool | None = Field(
        examples=[False], description="With too few purchases it is the shop's median."
    )
    days_since: int = Field(examples=[24], description="Days since the last purchase.")
    due_on: date | None = Field(examples=["2026-02-27"])
    at_risk_from: date | None = Field(examples=["2026-03-08"])
    lapsed_from: date | None = Field(examples=["2026-03-26"])
    net_per_month: Money | None = Field(examples=[31.4], description="What they were worth in 30 days.")


class CustomerForecast(Row):
    """What the shop's fit in use expects of a customer, in so many days after its last one."""

    relation = "customer_forecasts"

    fit_id: int = Field(examples=[12])
    fitted_through: date = Field(
        examples=["2026-03-07"], description="The last day of the data; predictions begin after it."
    )
    probability_alive: Rate = Field(examples=[0.83], description="That the customer has not gone for good.")
    expected_purchases_30: Number = Field(
        examples=[1.2], description="Several purchases on one day count as one, here and in the others."
    )
    expected_purchases_90: Number = Field(examples=[3.1])
    expected_purchases_365: Number = Field(examples=[9.4])
    expected_net_amount_30: Money | None = Field(examples=[18.4], description="`amount_reason` says why it is null.")
    expected_net_amount_90: Money | None = Field(examples=[47.6])
    expected_net_amount_365: Money | None = Field(examples=[144.2])
    amount_reason: Annotated[str | None, Sql("forecast_fits.amount_reason")] = Field(
        examples=[None], description="Why amounts are not predicted, in words."
    )


class CustomerHistory(BaseModel):
    model_config = ConfigDict(frozen=True)

    customer: ListedCustomer
    rhythm: CustomerRhythm | None
    forecast: CustomerForecast | None
    forecast_reason: str | None
    """Why there is no forecast, in words; None where there is one."""
    orders: list[OrderRow]
    tracking: list[VisitRow]
