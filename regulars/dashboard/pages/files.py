"""The tables of a shop's numbers as files for a spreadsheet: links, months and cohorts, as CSV and as XLSX."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from ingest.storage.connections import Connection
from regulars.dashboard.language.catalogue import N_, gettext
from regulars.dashboard.pages.context import PageContext, open_page
from regulars.dashboard.pages.error_pages import PageRoute
from regulars.dashboard.pages.period import Control, PagePeriod, open_control
from regulars.dashboard.period_schemas import PeriodLink
from regulars.dashboard.queries import metrics, period_numbers
from regulars.dashboard.queries.exports import csv_file
from regulars.dashboard.queries.workbook import MEDIA_TYPE, xlsx_file
from regulars.dashboard.schemas import AcquisitionMonth, CohortMonth, Row

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)

Table = Literal["links", "months", "cohorts"]

_TITLES: dict[Table, str] = {"links": N_("Links"), "months": N_("Months"), "cohorts": N_("Cohorts")}

_TABLES: dict[Table, tuple[type[Row], Callable[[Connection, PageContext, Control], Sequence[Row]]]] = {
    "links": (PeriodLink, lambda connection, page, control: period_numbers.links(connection, page.shop, control.span)),
    "months": (AcquisitionMonth, lambda connection, page, _: metrics.acquisition(connection, page.shop)),
    "cohorts": (CohortMonth, lambda connection, page, _: metrics.cohorts(connection, page.shop)),
}


@router.get("/links.csv")
@router.get("/links.xlsx")
@router.get("/months.csv")
@router.get("/months.xlsx")
@router.get("/cohorts.csv")
@router.get("/cohorts.xlsx")
def table_file(request: Request, parameters: Annotated[PagePeriod, Query()]) -> Response:
    name, _, suffix = request.url.path.removeprefix("/").partition(".")
    table: Table = name  # type: ignore[assignment]
    with open_page(request, shop=parameters.shop) as (connection, page):
        model, read = _TABLES[table]
        rows = read(connection, page, open_control(connection, page.shop, parameters))
    if suffix == "csv":
        content, media_type = csv_file(model, rows, zone=page.shop.zone), "text/csv"
    else:
        content = xlsx_file(gettext(_TITLES[table]), model, rows, shop=page.shop)
        media_type = MEDIA_TYPE
    return _file(page, table, suffix, content, media_type=media_type)


def _file(page: PageContext, table: str, suffix: str, content: bytes, *, media_type: str) -> Response:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", page.shop.shop_slug or str(page.shop.shop_id))
    headers = {
        "Content-Disposition": f'attachment; filename="{table}-{name}-{datetime.now(page.zone):%Y-%m-%d}.{suffix}"',
        "Cache-Control": "private, no-store",
        "Regulars-As-Of": page.as_of.isoformat(),
    }
    return Response(content, media_type=media_type, headers=headers)
