"""The pages of a shop's numbers, and their pictures. Each page is read in one transaction, off the event loop."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ingest.storage.connections import Connection
from regulars.dashboard import cards
from regulars.dashboard.language import choice
from regulars.dashboard.pages import (
    charts,
    comparisons,
    figures,
    forecast_figures,
    link_figures,
    retention_figures,
    segment_figures,
)
from regulars.dashboard.pages.colours import Theme
from regulars.dashboard.pages.context import MAX_LINKS, PageContext, ShopName, open_page
from regulars.dashboard.pages.drawings import Size
from regulars.dashboard.pages.error_pages import PageRoute
from regulars.dashboard.pages.figures import Figure, Name
from regulars.dashboard.pages.months import month_after, recent_months
from regulars.dashboard.pages.period import CHOICES, Control, PagePeriod, drawn, open_control
from regulars.dashboard.pages.rendering import render
from regulars.dashboard.queries import customers, metrics, period_numbers
from regulars.dashboard.queries import segments as segment_queries
from regulars.dashboard.schemas import RevenueDay

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)

MAX_AT_RISK = 25
MAX_TO_CALL = 3


class ChartQuery(PagePeriod):
    theme: Theme = "light"
    size: Size = "wide"


_FIGURES: dict[Name, Callable[[Connection, PageContext, Control], Figure]] = {
    "acquisition": lambda connection, page, _: figures.acquisition(
        metrics.acquisition(connection, page.shop), unfinished=page.unfinished_month
    ),
    "revenue": lambda connection, page, control: _revenue(connection, page, control)[0],
    "movement": lambda connection, page, _: retention_figures.movement(
        metrics.movement(connection, page.shop), unfinished=page.unfinished_month
    ),
    "repeat-rates": lambda connection, page, _: retention_figures.repeat_rates(
        metrics.repeat_rates(connection, page.shop), unfinished=page.unfinished_month
    ),
    "repurchase": lambda connection, page, _: retention_figures.repurchase(
        metrics.cohort_windows(connection, page.shop)
    ),
    "cohorts": lambda connection, page, _: retention_figures.cohorts(
        metrics.cohorts(connection, page.shop), unfinished=page.unfinished_month
    ),
    "lifetime-values": lambda connection, page, _: retention_figures.lifetime_values(
        metrics.lifetime_values(connection, page.shop),
        metrics.cohort_windows(connection, page.shop),
        currency=page.shop.currency,
    ),
    "links": lambda connection, page, control: link_figures.links(
        period_numbers.links(connection, page.shop, control.span), currency=page.shop.currency
    ),
    "networks": lambda connection, page, _: link_figures.networks(
        metrics.networks(connection, page.shop),
        metrics.network_switches(connection, page.shop),
        unfinished=page.unfinished_month,
    ),
    "segments": lambda connection, page, _: segment_figures.segments(
        segment_queries.shop_segments(connection, page.shop), segment_queries.segments(connection, page.shop)
    ),
    "forecast": lambda connection, page, _: forecast_figures.forecast(
        metrics.forecast_fits(connection, page.shop),
        metrics.forecast(connection, page.shop),
        metrics.forecast_errors(connection, page.shop),
        currency=page.shop.currency,
    ),
}


@router.get("/")
def overview(request: Request, parameters: Annotated[PagePeriod, Query()]) -> Response:
    with open_page(request, shop=parameters.shop) as (connection, page):
        control = open_control(connection, page.shop, parameters)
        numbers = metrics.overview(connection, page.shop)
        months = metrics.acquisition(connection, page.shop)
        revenue, days = _revenue(connection, page, control)
        to_call = customers.silent(connection, page.shop, limit=MAX_TO_CALL)
        against, currency = control.query.against, page.shop.currency
        recent = recent_months(months, current=numbers.month, as_of=page.as_of, zone=page.zone, against=against)
        if control.query.period == "month":
            moved = comparisons.by_month(recent, against=against, currency=currency)
        else:
            now, then = (
                period_numbers.numbers(connection, page.shop, span)
                for span in (control.period.counted, control.period.compared)
            )
            moved = comparisons.by_day(control.period, now, then, currency=currency)
    return render(
        request,
        "overview.html",
        page=page,
        place="overview",
        # Before the first refresh of a month its newcomers are unknown, not 0.
        numbers=numbers.model_dump() | {"new_customers_month": recent.this.figure("new_customers")},
        earnings=cards.EARNINGS,
        of_customers=cards.CUSTOMERS,
        control=control,
        choices=CHOICES,
        today=page.as_of.astimezone(page.zone).date(),
        moved=moved,
        recent=recent,
        to_call=to_call,
        silent_after=customers.SILENT_AFTER,
        months=months,
        days=days,
        acquisition=figures.acquisition(months, unfinished=page.unfinished_month),
        revenue=revenue,
    )


@router.get("/retention")
def retention(request: Request, shop: ShopName = None) -> Response:
    with open_page(request, shop=shop) as (connection, page):
        movement = metrics.movement(connection, page.shop)
        rates = metrics.repeat_rates(connection, page.shop)
        cohorts = metrics.cohorts(connection, page.shop)
        values = metrics.lifetime_values(connection, page.shop)
        windows = metrics.cohort_windows(connection, page.shop)
    return render(
        request,
        "retention.html",
        page=page,
        place="retention",
        movement=retention_figures.movement(movement, unfinished=page.unfinished_month),
        movement_months=movement[-retention_figures.MAX_MONTHS :],
        repeat_rates=retention_figures.repeat_rates(rates, unfinished=page.unfinished_month),
        rates=rates,
        repurchase=retention_figures.repurchase(windows),
        repurchase_windows=retention_figures.REPURCHASE_WINDOWS,
        windows=retention_figures.by_cohort(windows),
        cohorts=retention_figures.cohorts(cohorts, unfinished=page.unfinished_month),
        cohort_rows=retention_figures.by_cohort(cohorts),
        lifetime_values=retention_figures.lifetime_values(values, windows, currency=page.shop.currency),
        values=retention_figures.by_cohort(values),
        value_windows=retention_figures.VALUE_WINDOWS,
    )


@router.get("/links")
def links(request: Request, parameters: Annotated[PagePeriod, Query()]) -> Response:
    with open_page(request, shop=parameters.shop) as (connection, page):
        control = open_control(connection, page.shop, parameters)
        in_period = period_numbers.links(connection, page.shop, control.span)
        months = metrics.acquisition(connection, page.shop)
        rows = metrics.links(connection, page.shop)
        campaigns = metrics.campaigns(connection, page.shop)
        networks = metrics.networks(connection, page.shop)
        switches = metrics.network_switches(connection, page.shop)
    currency = page.shop.currency
    return render(
        request,
        "links.html",
        page=page,
        place="links",
        control=control,
        choices=CHOICES,
        months=comparisons.months_of(control.span),
        links=link_figures.links(in_period, currency=currency),
        in_period=in_period[:MAX_LINKS],
        rows=rows[:MAX_LINKS],
        number_of_links=len(rows),
        # Later revenue of a month is known when its last customers have had 30 days.
        later_from=None
        if any(row.mature_customers_30 for row in rows) or not months
        else month_after(months[0].month) + timedelta(days=30),
        campaigns=campaigns[:MAX_LINKS],
        campaigns_answer=link_figures.campaigns(campaigns, currency=currency),
        has_campaign=any(map(link_figures.campaign_name, campaigns)),
        campaign_name=link_figures.campaign_name,
        networks=link_figures.networks(networks, switches, unfinished=page.unfinished_month),
        network_table=link_figures.network_table(networks),
        switches=switches,
    )


@router.get("/segments")
def segments(request: Request, shop: ShopName = None) -> Response:
    with open_page(request, shop=shop, reads="customers") as (connection, page):
        has_segments = segment_queries.shop_segments(connection, page.shop)
        sizes = segment_queries.segments(connection, page.shop)
        states = segment_queries.states(connection, page.shop)
        at_risk = segment_queries.at_risk(connection, page.shop, limit=MAX_AT_RISK)
    return render(
        request,
        "segments.html",
        page=page,
        place="customers",
        segments=segment_figures.segments(has_segments, sizes),
        sizes=sizes,
        states=states,
        at_risk=at_risk,
        at_risk_answer=segment_figures.at_risk(states, currency=page.shop.currency),
        limit=MAX_AT_RISK,
    )


@router.get("/forecast")
def forecast(request: Request, shop: ShopName = None) -> Response:
    with open_page(request, shop=shop) as (connection, page):
        fits = metrics.forecast_fits(connection, page.shop)
        horizons = metrics.forecast(connection, page.shop)
        errors = metrics.forecast_errors(connection, page.shop)
    return render(
        request,
        "forecast.html",
        page=page,
        place="forecast",
        forecast=forecast_figures.forecast(fits, horizons, errors, currency=page.shop.currency),
        latest_fit=fits[0] if fits else None,
        horizons=horizons,
        errors=errors,
        error=forecast_figures.error,
    )


@router.get("/charts/{name}.svg")
def chart(request: Request, name: Name, parameters: Annotated[ChartQuery, Query()]) -> Response:
    """Browsers store the picture and revalidate it each time: a refresh or a new day changes it."""
    with open_page(request, shop=parameters.shop) as (connection, page):
        figure = _FIGURES[name](connection, page, open_control(connection, page.shop, parameters))
    if not figure.rows:
        return Response(status_code=404, headers={"Cache-Control": "no-store"})
    theme, size, currency = parameters.theme, parameters.size, page.shop.currency
    etag = f'W/"{charts.key(figure, theme=theme, size=size, currency=currency)}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"} | choice.headers()
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        svg = charts.draw(figure, theme=theme, size=size, currency=currency)
    except charts.DrawingFailed:
        return Response(status_code=503, headers={"Cache-Control": "no-store"})
    return Response(svg, media_type="image/svg+xml", headers=headers)


def _revenue(connection: Connection, page: PageContext, control: Control) -> tuple[Figure, list[RevenueDay]]:
    """The figure of the days, and those of the period that it draws."""
    span, earlier, is_cut = drawn(control.period)
    days = metrics.revenue_days(connection, page.shop, span) if span else []
    figure = figures.revenue(
        days,
        title=control.title,
        today=page.as_of.astimezone(page.zone).date(),
        currency=page.shop.currency,
        earlier=earlier,
        is_cut=is_cut,
    )
    return figure, days[earlier:]
