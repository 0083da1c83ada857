"""Workbooks and files of phones: typed, defined, equal to the API, recorded in the log, and gone from the disk."""

import csv
import io
import json
import logging
import tempfile
import time
import tracemalloc
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import psycopg
import pytest
from openpyxl.utils.escape import unescape

from regulars.dashboard.period_schemas import PeriodLink
from regulars.dashboard.queries import exports, workbook
from regulars.dashboard.queries.definitions import definition
from regulars.dashboard.schemas import AcquisitionMonth, CohortMonth, CustomerRow, Row
from regulars.dashboard.schemas import Shop as ShopProfile
from regulars.web.logs import JsonLines
from tests.api import API, bearer
from tests.owners import Shop
from tests.pages import Dashboard

_TABLES: dict[str, tuple[type[Row], str, str]] = {
    "links": (PeriodLink, "period-links", "links"),
    "months": (AcquisitionMonth, "acquisition", "months"),
    "cohorts": (CohortMonth, "cohorts", "cohorts"),
}


@pytest.fixture
def few_rows_per_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_ROWS_PER_FETCH", 4)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the application makes its temporary folders."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _read(content: bytes, sheet: int = 0) -> list[dict[str, Any]]:
    head, *rows = openpyxl.load_workbook(io.BytesIO(content)).worksheets[sheet].iter_rows(values_only=True)
    return [dict(zip(map(str, head), row, strict=True)) for row in rows]


def _shop(shop: Shop) -> ShopProfile:
    return ShopProfile.model_construct(shop_id=shop.shop_id, time_zone=shop.zone.key, currency="GHS")


def _api(dashboard: Dashboard, shop: Shop, path: str, **asked: object) -> Any:
    with httpx.Client(base_url=dashboard.address, headers=bearer(dashboard.settings, shop.user_id)) as client:
        answer = client.get(f"{API}/{path}", params={"shop": shop.slug, **asked})
    return json.loads(answer.text, parse_float=Decimal)


def _plain(value: Any, shop: Shop) -> Any:
    """A value of the API as a spreadsheet has it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str) and len(value) > 20 and value[4] == value[7] == "-" and value[10] == "T":
        return datetime.fromisoformat(value).astimezone(shop.zone).replace(tzinfo=None, microsecond=0)
    if isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-":
        return datetime.combine(date.fromisoformat(value), datetime.min.time())
    return value


@pytest.mark.usefixtures("few_rows_per_fetch")
def test_the_customers_workbook_has_typed_cells_equal_to_the_api(dashboard: Dashboard, temporary: Path) -> None:
    for slug in ("ama-data", "kofi-data"):
        shop = dashboard.owners.shops[slug]
        expected = _api(dashboard, shop, "list", limit=200, sort="total_spent", min_spent="10")["customers"]
        with dashboard.owner(shop.user_id) as client:
            answer = client.get("/customers.xlsx", params={"shop": slug, "sort": "total_spent", "min_spent": "10"})
        assert answer.headers["content-disposition"].endswith('.xlsx"')
        found = _read(answer.content)
        # The API's `id` is `customer_id` by the storefront's name.
        assert found == [{name: _plain(value, shop) for name, value in row.items() if name != "id"} for row in expected]
        assert all(isinstance(row["phone_number"], str | None) for row in found)
        assert all(isinstance(row["last_purchase_at"], datetime) for row in found)
        assert all(isinstance(row["repeat_customer"], bool) for row in found)
    # The folder goes after the answer's last byte.
    deadline = time.monotonic() + 10
    while list(temporary.iterdir()):
        assert time.monotonic() < deadline, "a file with phones is left on the disk"
        time.sleep(0.01)


_TEXTS = (
    "=1+1", "<r><t>rich</t></r>", "</t></is>", "a & b", " spaced ", "two\nlines\tand a tab", "bell \a", "_x0041_",
    "_x_", "\ufffe", "متجر", "long " * 8_000,
)  # fmt: skip


def test_a_workbook_keeps_every_text_as_it_is_and_never_as_markup(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["kofi-data"]
    row = CustomerRow.model_construct(**dict.fromkeys(CustomerRow.model_fields))
    rows = [row.model_copy(update={"customer_name": text}) for text in _TEXTS]
    content = workbook.xlsx_file("Names", CustomerRow, rows, shop=_shop(shop))
    # openpyxl leaves what XML has no place for as Excel writes it.
    found = [unescape(cells["customer_name"]) for cells in _read(content)]
    assert found == [text[:32_767] for text in _TEXTS]
    assert all(value is None for cells in _read(content) for name, value in cells.items() if name != "customer_name")


def test_the_memory_of_a_workbook_does_not_grow_with_its_rows(dashboard: Dashboard) -> None:
    rows = [tuple(None if name != "customer_name" else "Ama" * 100 for name in CustomerRow.model_fields)] * 1000

    def most(parts: int) -> int:
        book = workbook.Workbook(_shop(dashboard.owners.shops["ama-data"]), "Many", CustomerRow)
        tracemalloc.start()
        try:
            for _ in range(parts):
                book.add(rows)
            while book.next_part():
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            book.close()

    most(1)  # what is imported and cached once
    assert most(20) < most(2) + 100_000


def test_cells_have_the_format_of_what_they_hold_and_empty_ones_too(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-data"]
    with dashboard.owner(shop.user_id) as client:
        content = client.get("/customers.xlsx", params={"shop": shop.slug}).content
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    formats = {
        "customer_id": "@", "phone_number": "@", "first_purchase_at": "yyyy-mm-dd hh:mm:ss", "total_purchases": "0",
        "total_spent": "#,##0.00##", "repeat_customer": "General", "last_source_slug": "@",
    }  # fmt: skip
    assert len(shop.buyers) > 20
    for column in sheet.iter_cols():
        expected = formats.get(str(column[0].value))
        if expected:
            assert {cell.number_format for cell in column[1:] if cell.value is not None} == {expected}
    assert sheet.freeze_panes == "B2"


def test_a_workbook_whose_first_rows_can_not_be_read_leaves_nothing(
    dashboard: Dashboard, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: exports.Export) -> bytes:
        raise psycopg.OperationalError("the fault of this test")

    monkeypatch.setattr(exports.Export, "_fetch", fail)
    shop = dashboard.owners.shops["ama-data"]
    with dashboard.owner(shop.user_id) as client:
        assert client.get("/customers.xlsx", params={"shop": shop.slug}).status_code == 503
        assert list(temporary.iterdir()) == []
        monkeypatch.undo()
        assert client.get("/customers.xlsx", params={"shop": shop.slug}).status_code == 200


def test_no_text_in_a_workbook_is_a_formula(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-data"]
    formulas = {row["customer_name"] for row in shop.customers().values() if row["customer_name"].startswith("=")}
    assert formulas, "no customer has a formula for a name"
    with dashboard.owner(shop.user_id) as client:
        content = client.get("/customers.xlsx", params={"shop": shop.slug}).content
    cells = [cell for row in openpyxl.load_workbook(io.BytesIO(content)).worksheets[0].iter_rows() for cell in row]
    assert formulas <= {cell.value for cell in cells}
    assert not any(cell.data_type == "f" for cell in cells)


@pytest.mark.parametrize("table", list(_TABLES))
def test_the_other_workbooks_and_csv_files_are_equal_to_the_api(dashboard: Dashboard, table: str) -> None:
    shop = dashboard.owners.shops["ama-more"]
    _, path, key = _TABLES[table]
    asked = {"period": "year"} if table == "links" else {}
    expected = _api(dashboard, shop, path, **asked)[key]
    assert expected
    with dashboard.owner(shop.user_id) as client:
        content = client.get(f"/{table}.xlsx", params={"shop": shop.slug, **asked}).content
        text = client.get(f"/{table}.csv", params={"shop": shop.slug, **asked}).content.decode("utf-8-sig")
    assert _read(content) == [{name: _plain(value, shop) for name, value in row.items()} for row in expected]
    assert list(csv.DictReader(io.StringIO(text))) == [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in expected
    ]


@pytest.mark.parametrize("model", [CustomerRow, PeriodLink, AcquisitionMonth, CohortMonth])
def test_every_column_of_a_file_has_a_definition(model: type[Row]) -> None:
    assert [name for name in model.model_fields if not definition(model, name)] == []


def test_a_file_of_another_name_does_not_exist(dashboard: Dashboard) -> None:
    with dashboard.owner(dashboard.owners.kofi) as client:
        paths = ("/months.csv", "/years.csv", "/years.xlsx")
        assert [client.get(path).status_code for path in paths] == [
            200,
            404,
            404,
        ]


def test_the_last_sheet_has_the_definitions_with_currency_and_zone(dashboard: Dashboard) -> None:
    shop = dashboard.owners.shops["ama-more"]
    with dashboard.owner(shop.user_id) as client:
        content = client.get("/customers.xlsx", params={"shop": shop.slug}).content
    rows = _read(content, sheet=1)
    assert [row["Column"] for row in rows if row["Column"]] == list(CustomerRow.model_fields)
    told = " ".join(row["Meaning"] for row in rows)
    assert "GHS" in told
    assert "Pacific/Auckland" in told


def test_a_full_sheet_is_followed_by_another(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "_LAST_ROW", 31)
    shop = dashboard.owners.shops["ama-data"]
    with dashboard.owner(shop.user_id) as client:
        content = client.get("/customers.xlsx", params={"shop": shop.slug}).content
    book = openpyxl.load_workbook(io.BytesIO(content))
    assert book.sheetnames == ["Customers", "Customers 2", "Definitions"]
    assert len(_read(content, 0)) + len(_read(content, 1)) == len(shop.buyers)


def test_phones_of_a_filtered_list_are_copied_and_who_did_and_how_many_is_logged(
    dashboard: Dashboard, caplog: pytest.LogCaptureFixture
) -> None:
    shop = dashboard.owners.shops["kofi-data"]
    expected = {phone for phone, row in shop.customers().items() if row["repeat_customer"]}
    told: list[str] = []
    with caplog.at_level(logging.INFO), dashboard.owner(shop.user_id) as client:
        answer = client.get("/customers.txt", params={"repeat": "true"})
        deadline = time.monotonic() + 10
        while not told and time.monotonic() < deadline:  # the answer can arrive before its line
            told = [JsonLines().format(r) for r in caplog.records if r.getMessage() == "customers were exported"]
            time.sleep(0.01)
    assert answer.headers["content-type"].startswith("text/plain")
    assert set(answer.text.split()) == expected
    (line,) = told
    record = json.loads(line)
    assert (record["sub"], record["file"], record["rows"]) == (str(shop.user_id), "txt", len(expected))
    assert not any(phone[1:] in line for phone in shop.buyers)


def test_what_follows_a_separator_of_another_country_is_no_formula() -> None:
    written = {
        "a;=1+1;b": "a;'=1+1;b", "a|@SUM(A1)": "a|'@SUM(A1)", "a\t+1": "a\t'+1", "a; -1": "a; '-1",
        "=1;=2": "'=1;'=2", "a;b|c": "a;b|c", "x-1; y+2": "x-1; y+2", ";=1": ";'=1",
    }  # fmt: skip
    cells = {text: exports._cell(text, None) for text in written}  # type: ignore[arg-type]
    assert cells == written
