"""The rows about a period of days, as `schemas` has the others. A period without sales has zeros."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from regulars.dashboard.language.catalogue import N_
from regulars.dashboard.schemas import Money, Rate, Row, Sql


class PeriodSums(Row):
    relation = "shop_days"

    sales: Annotated[int, Sql("coalesce(sum(shop_days.sales), 0)")] = Field(examples=[41])
    net_amount: Annotated[Money, Sql("coalesce(sum(shop_days.net_amount), 0)")] = Field(examples=[640.0])
    profit_amount: Annotated[Money, Sql("coalesce(sum(shop_days.profit_amount), 0)")] = Field(examples=[92.5])
    refunded_amount: Annotated[Money, Sql("coalesce(sum(shop_days.refunded_amount), 0)")] = Field(examples=[10.0])


class PeriodNewcomers(Row):
    relation = "cohort_days"

    new_customers: Annotated[int, Sql("coalesce(sum(cohort_days.customers), 0)")] = Field(examples=[12])


class PeriodNumbers(BaseModel):
    """What happened on some days."""

    model_config = ConfigDict(frozen=True)

    first_day: date = Field(examples=["2026-03-01"])
    last_day: date = Field(examples=["2026-03-13"])
    sales: int = Field(examples=[41])
    new_customers: int = Field(examples=[12])
    net_amount: Money = Field(examples=[640.0])
    profit_amount: Money = Field(examples=[92.5])
    refunded_amount: Money = Field(examples=[10.0])


class PeriodLink(Row):
    """What a link did in the calendar months of a period; slugs that rotate are one link."""

    relation = "link_months"

    link: str = Field(examples=["WhatsApp status"], description=N_("`unknown` keeps what came without a link."))
    visits: Annotated[int, Sql("sum(link_months.visits)")] = Field(examples=[250])
    converted_visits: Annotated[int, Sql("sum(link_months.converted_visits)")] = Field(examples=[40])
    conversion_rate: Annotated[
        Rate | None, Sql("round(1.0 * sum(link_months.converted_visits) / nullif(sum(link_months.visits), 0), 4)")
    ] = Field(examples=[0.16], description=N_("converted_visits / visits"))
    orders: Annotated[int, Sql("sum(link_months.orders)")] = Field(examples=[51])
    sales: Annotated[int, Sql("sum(link_months.sales)")] = Field(examples=[44])
    new_customers: Annotated[int, Sql("sum(link_months.new_customers)")] = Field(
        examples=[21], description=N_("Their first purchase ever came by the link, in these months.")
    )
    came_back_customers: Annotated[int, Sql("sum(link_months.came_back_customers)")] = Field(
        examples=[8], description=N_("Of these, those who have bought again since, by whatever link.")
    )
    came_back_rate: Annotated[
        Rate | None,
        Sql("round(1.0 * sum(link_months.came_back_customers) / nullif(sum(link_months.new_customers), 0), 4)"),
    ] = Field(examples=[0.381], description=N_("came_back_customers / new_customers"))
    brought_net_amount: Annotated[Money, Sql("sum(link_months.brought_net_amount)")] = Field(
        examples=[520.0],
        description=N_("All that these new customers have bought so far, by whatever link, less refunds."),
    )
    net_per_customer: Annotated[
        Money | None,
        Sql("round(sum(link_months.brought_net_amount) / nullif(sum(link_months.new_customers), 0), 2)"),
    ] = Field(examples=[24.76], description=N_("brought_net_amount / new_customers"))
    last_touch_net_amount: Annotated[Money, Sql("sum(link_months.net_amount)")] = Field(examples=[690.0])
    first_touch_net_amount: Annotated[Money, Sql("sum(link_months.first_touch_net_amount)")] = Field(examples=[820.0])
