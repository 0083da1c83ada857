"""The rows about segments and about customers' own rhythm, as `schemas` has the others."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from regulars.dashboard.schemas import Money, Number, Row, Sql


class ShopSegments(Row):
    relation = "shop_segments"

    has_segments: bool = Field(examples=[True])
    reason: str | None = Field(examples=[None], description="Why the shop's customers have no segments, in words.")


class SegmentSize(Row):
    relation = "segment_sizes"

    segment: str = Field(examples=["champions"])
    customers: int = Field(examples=[24])
    net_amount: Money = Field(examples=[2310.0], description="What these have spent so far.")
    moved_in: int = Field(examples=[3], description="Of these, those who were in another when the month began.")
    moved_out: int = Field(examples=[1], description="Customers who were in it then and are in another one now.")


class StateSize(Row):
    """How many customers are on time or late by their own rhythm, on the shop's current local day."""

    relation = "state_sizes"

    state: str = Field(examples=["at risk"], description="active, due, at risk or lapsed; `unknown` without a rhythm.")
    customers: int = Field(examples=[17])
    net_per_month: Money | None = Field(examples=[210.5], description="What they were worth in 30 days, together.")


class CustomerAtRisk(Row):
    """A customer who is late by twice their own rhythm. An erased customer's phone and name are None."""

    relation = "customer_rhythms"

    customer_id: Annotated[UUID, Sql("customer_rhythms.shop_customer_id")] = Field(
        examples=["c1d5a1de-3b0c-4b6f-8a51-6f1f0f6f7d21"]
    )
    customer_name: Annotated[str | None, Sql("contacts.customer_name")] = Field(examples=["Ama"])
    phone_number: Annotated[str | None, Sql("contacts.phone_number")] = Field(examples=["+233241234567"])
    erased_at: Annotated[datetime | None, Sql("contacts.erased_at")] = Field(examples=[None])
    reason: str | None = Field(examples=["buys every 9 days; 24 days ago"])
    gap_days: Number | None = Field(examples=[9], description="Their median of the days between two purchase days.")
    uses_shop_median: bool | None = Field(
        examples=[False], description="With too few purchases it is the shop's median."
    )
    last_purchase_date: date = Field(examples=["2026-02-18"])
    days_since: int = Field(examples=[24])
    at_risk_from: date | None = Field(examples=["2026-03-08"])
    lapsed_from: date | None = Field(examples=["2026-03-26"])
    net_per_month: Money | None = Field(examples=[31.4], description="What they were worth in 30 days.")
