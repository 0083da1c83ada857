"""The tables of a shop's numbers as files for a spreadsheet: links, months and cohorts, as CSV and as XLSX."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from ingest.storage.connections import Connection
from regulars.dashboard.language.catalogue import N_
from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.pages.context import PageContext, open_page
from regulars.dashboard.pages.error_pages import PageRoute
from regulars.dashboard.pages.period import Control, PagePeriod, open_control
from regulars.dashboard.period_schemas import PeriodLink
from regulars.dashboard.queries import metrics, period_numbers
from regulars.dashboard.queries.csv_export import WorkbookExport, csv_file
from regulars.dashboard.queries.workbook import xlsx_file
from regulars.dashboard.schemas import AcquisitionMonth, CohortMonth, Row

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)

Table = Literal["links", "months", "cohorts"]

_TITLES: dict[Table, str] = {"links": N_("Links"), "months": N_("Months"), "cohorts": N_("Cohorts")}

_TABLES: dict[Table, tuple[type[Row], Callable[[Connection, PageContext, Control], Sequence[Row]]]] = {
    "links": (PeriodLink, lambda connection, page, control: period_numbers.links(connection, page.shop, control.span)),
    "months": (AcquisitionMonth, lambda connection, page, _: metrics.acquisition(connection, page.shop)),
    "cohorts": (CohortMonth, lambda connection, page, _: metrics.cohorts(connection, page.shop)),
}


@router.get("/{table}.csv")
def as_csv(request: Request, table: Table, parameters: Annotated[PagePeriod, Query()]) -> Response:
    with open_page(request, shop=parameters.shop) as (connection, page):
        model, read = _TABLES[table]
        rows = read(connection, page, open_control(connection, page.shop, parameters))
    return _file(page, table, "csv", csv_file(model, rows, zone=ZoneInfo(page.shop.time_zone)), media_type="text/csv")


@router.get("/{table}.xlsx")
def as_xlsx(request: Request, table: Table, parameters: Annotated[PagePeriod, Query()]) -> Response:
    with open_page(request, shop=parameters.shop) as (connection, page):
        model, read = _TABLES[table]
        rows = read(connection, page, open_control(connection, page.shop, parameters))
    content = xlsx_file(_(_TITLES[table]), model, rows, shop=page.shop)
    return _file(page, table, "xlsx", content, media_type=WorkbookExport.media_type)


def _file(page: PageContext, table: str, suffix: str, content: bytes, *, media_type: str) -> Response:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", page.shop.shop_slug or str(page.shop.shop_id))
    headers = {
        "Content-Disposition": f'attachment; filename="{table}-{name}-{datetime.now(page.zone):%Y-%m-%d}.{suffix}"',
        "Cache-Control": "private, no-store",
        "Regulars-As-Of": page.as_of.isoformat(),
    }
    return Response(content, media_type=media_type, headers=headers)
