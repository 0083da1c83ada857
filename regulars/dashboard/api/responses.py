"""The bodies of the API's responses: rows of `schemas`, with their shop and moment."""

from datetime import date, datetime
from typing import Any, Literal, get_type_hints
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model

from regulars.dashboard.cards import CARDS
from regulars.dashboard.customer_schemas import CustomerForecast, CustomerRhythm
from regulars.dashboard.period_schemas import PeriodLink, PeriodNumbers
from regulars.dashboard.schemas import (
    AcquisitionMonth,
    CampaignRow,
    CohortMonth,
    CohortWindow,
    ForecastError,
    ForecastFit,
    ForecastHorizon,
    LifetimeValueMonth,
    LinkRow,
    ListedCustomer,
    MovementMonth,
    NetworkMonth,
    NetworkSwitch,
    OrderRow,
    Overview,
    RepeatRate,
    RevenueDay,
    Row,
    SlugRow,
    VisitRow,
)
from regulars.dashboard.segment_schemas import CustomerAtRisk, SegmentSize, StateSize


class ShopResponse(BaseModel):
    """Amounts are numbers in the shop's currency with two decimals or more; an unknown value is null, never 0."""

    # Fields with a default are always sent too.
    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    success: Literal[True] = True
    shop_id: UUID = Field(examples=["0b6a8f0e-5f1c-4f6e-9a55-0d2f6f0a9c11"])
    currency: str = Field(examples=["GHS"])
    time_zone: str = Field(
        examples=["Africa/Accra"],
        description="The zone of the shop's days and months: an IANA name, or an offset such as UTC-05:30.",
    )
    as_of: datetime | None = Field(
        examples=["2026-03-14T02:30:05.123456+00:00"],
        description="Everything committed before it is in the numbers. null: no refresh has counted the shop.",
    )
    stale: bool = Field(
        examples=[False], description="The numbers are older than REGULARS_STALE_AFTER_HOURS, or there are none."
    )


def _nullable_fields(model: type[Row], *, descriptions: dict[str, str]) -> dict[str, Any]:
    """A row's fields for a response in which all of them are null where no refresh has counted the shop."""
    hints = get_type_hints(model, include_extras=True)
    return {
        field.serialization_alias or name: (
            hints[name] | None,
            Field(None, examples=field.examples, description=descriptions.get(name, field.description)),
        )
        for name, field in model.model_fields.items()
    }


AnalyticsResponse: type[ShopResponse] = create_model(
    "AnalyticsResponse",
    __base__=ShopResponse,
    __doc__="The nine cards, and the shop's current month beside the one before.",
    **_nullable_fields(Overview, descriptions={card.name: card.meaning for card in CARDS}),
)


class AcquisitionResponse(ShopResponse):
    months: list[AcquisitionMonth] = []


class RepeatRatesResponse(ShopResponse):
    months: list[RepeatRate] = []


class MovementResponse(ShopResponse):
    months: list[MovementMonth] = []


class CohortsResponse(ShopResponse):
    cohorts: list[CohortMonth] = []


class LifetimeValuesResponse(ShopResponse):
    cohorts: list[LifetimeValueMonth] = []


class CohortWindowsResponse(ShopResponse):
    cohorts: list[CohortWindow] = []


class SegmentsResponse(ShopResponse):
    has_segments: bool | None = Field(None, examples=[True], description="null where no refresh has counted the shop.")
    reason: str | None = Field(None, examples=[None], description="Why there are none, in words.")
    segments: list[SegmentSize] = []
    states: list[StateSize] = []


class AtRiskResponse(ShopResponse):
    customers: list[CustomerAtRisk] = Field([], description="Those who were worth the most a month first.")
    limit: int = Field(examples=[50])


class ForecastResponse(ShopResponse):
    latest_fit: ForecastFit | None = Field(None, description="The latest attempt; null where there was none yet.")
    horizons: list[ForecastHorizon] = Field([], description="By the last fit that converged; empty where none has.")
    errors: list[ForecastError] = []


class LinksResponse(ShopResponse):
    links: list[LinkRow] = []


class CampaignsResponse(ShopResponse):
    campaigns: list[CampaignRow] = []


class NetworksResponse(ShopResponse):
    months: list[NetworkMonth] = []
    switches: list[NetworkSwitch] = []


class PeriodResponse(ShopResponse):
    numbers: PeriodNumbers | None = Field(None, description="Of the period's whole days; null where none is over.")
    compared: PeriodNumbers | None = Field(None, description="Of as many earlier days.")
    days: list[RevenueDay] = Field([], description="The period's days up to that of as_of, which is not over.")


class PeriodLinksResponse(ShopResponse):
    first_month: date | None = Field(None, examples=["2026-03-01"], description="Links are counted by calendar month:")
    last_month: date | None = Field(None, examples=["2026-03-01"], description="these are the months of the period.")
    links: list[PeriodLink] = []


class SlugAnalyticsResponse(ShopResponse):
    slugs: list[SlugRow] = []


class ListResponse(ShopResponse):
    customers: list[ListedCustomer] = []
    total: int | None = Field(
        None,
        examples=[180],
        description="How many customers match; as of as_of without a filter, or with `repeat` or `slug` alone.",
    )
    limit: int = Field(examples=[50])
    offset: int = Field(examples=[0])
    next_cursor: str | None = Field(None, examples=[None], description="The next page's cursor; null on the last page.")


class HistoryResponse(ShopResponse):
    customer: ListedCustomer
    rhythm: CustomerRhythm | None = Field(description="How often they buy, on the shop's current local day.")
    forecast: CustomerForecast | None = Field(description="null where nothing is predicted of the customer.")
    forecast_reason: str | None = Field(None, examples=[None], description="Why nothing is predicted, in words.")
    orders: list[OrderRow] = Field(description="The newest 1,000 of any status, the newest first.")
    tracking: list[VisitRow] = Field(description="The visits that brought these orders, the newest first.")


RESPONSES: tuple[type[ShopResponse], ...] = (
    AnalyticsResponse,
    AcquisitionResponse,
    RepeatRatesResponse,
    MovementResponse,
    CohortsResponse,
    LifetimeValuesResponse,
    CohortWindowsResponse,
    SegmentsResponse,
    AtRiskResponse,
    ForecastResponse,
    LinksResponse,
    PeriodResponse,
    PeriodLinksResponse,
    CampaignsResponse,
    NetworksResponse,
    SlugAnalyticsResponse,
    ListResponse,
    HistoryResponse,
)
