"""A workbook for Excel with typed cells, written row by row to a temporary folder; definitions are its last sheet."""

import tempfile
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import xlsxwriter

from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.queries.definitions import definition, heading
from regulars.dashboard.schemas import Row, Shop

_LAST_ROW = 1_048_575
"""Excel's, counted from 0."""
_PART = 256 * 1024
_FORMATS = {"moment": "yyyy-mm-dd hh:mm:ss", "day": "yyyy-mm-dd", "amount": "#,##0.00##", "count": "0", "text": "@"}


class Workbook:
    """`begin()` a table, `add()` its rows, and read the file by `next_part()`. `close()` deletes what is on disk."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._zone = ZoneInfo(shop.time_zone)
        self._folder = tempfile.TemporaryDirectory(prefix="regulars-")
        self._path = Path(self._folder.name) / "book.xlsx"
        # constant_memory keeps one row in memory; it also writes each text where it stands, never as a formula.
        self._book = xlsxwriter.Workbook(
            self._path,
            {
                "constant_memory": True,
                "tmpdir": self._folder.name,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
                "remove_timezone": True,
            },
        )
        self._formats = {name: self._book.add_format({"num_format": code}) for name, code in _FORMATS.items()}
        self._bold = self._book.add_format({"bold": True})
        self._tables: list[tuple[str, type[Row]]] = []
        self._file: Any = None

    def begin(self, title: str, model: type[Row]) -> None:
        """A sheet with a column for each field of the model."""
        self._tables.append((title, model))
        self._number = 1
        self._new_sheet(title)

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Rows of the table that was begun last; a full sheet is followed by another."""
        for row in rows:
            if self._row > _LAST_ROW:
                self._number += 1
                self._new_sheet(f"{self._tables[-1][0]} {self._number}")
            for column, value in enumerate(row):
                self._cell(self._row, column, value)
            self._row += 1

    def next_part(self) -> bytes | None:
        """The next bytes of the file; None at its end. No row can be added after the first call."""
        if self._file is None:
            self._write_definitions()
            self._book.close()
            self._file = self._path.open("rb")
        return self._file.read(_PART) or None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        else:
            for sheet in self._book.worksheets():
                if sheet.row_data_fh is not None:
                    sheet.row_data_fh.close()
            self._book.fileclosed = True
        self._folder.cleanup()

    def _new_sheet(self, title: str) -> None:
        self._sheet = self._book.add_worksheet(title)
        self._sheet.freeze_panes(1, 1)
        names = list(self._tables[-1][1].model_fields)
        self._sheet.set_column(0, len(names) - 1, 18)
        for column, name in enumerate(names):
            self._sheet.write_string(0, column, heading(name), self._bold)
        self._row = 1

    def _cell(self, row: int, column: int, value: object) -> None:
        sheet, formats = self._sheet, self._formats
        match value:
            case None:
                return
            case bool():
                sheet.write_boolean(row, column, value)
            case int():
                sheet.write_number(row, column, value, formats["count"])
            case Decimal():
                # Excel counts in binary fractions of 15 digits.
                sheet.write_number(row, column, float(value), formats["amount"])
            case datetime():
                local = value.astimezone(self._zone).replace(tzinfo=None, microsecond=0)
                sheet.write_datetime(row, column, local, formats["moment"])
            case date():
                sheet.write_datetime(row, column, datetime(value.year, value.month, value.day), formats["day"])
            case _:
                sheet.write_string(row, column, str(value), formats["text"])

    def _write_definitions(self) -> None:
        sheet = self._book.add_worksheet(_("Definitions"))
        sheet.set_column(0, 1, 26)
        sheet.set_column(2, 2, 90)
        lines = [(_("Sheet"), _("Column"), _("Meaning"))]
        lines += [
            (title, heading(name), definition(model, name))
            for title, model in self._tables
            for name in model.model_fields
        ]
        lines += [
            (
                "",
                "",
                _(
                    "Amounts are in %(currency)s, less refunds unless a column says otherwise.",
                    currency=self._shop.currency,
                ),
            ),
            ("", "", _("Days, months and times are those of %(zone)s.", zone=self._shop.time_zone)),
            ("", "", _("An empty cell is not known, or not known yet; it is never 0.")),
        ]
        for row, line in enumerate(lines):
            for column, text in enumerate(line):
                sheet.write_string(row, column, text, self._bold if row == 0 else None)


def xlsx_file(title: str, model: type[Row], rows: Sequence[Row], *, shop: Shop) -> bytes:
    """A small table as a whole file."""
    book = Workbook(shop)
    try:
        book.begin(title, model)
        book.add([[getattr(row, name) for name in model.model_fields] for row in rows])
        parts = []
        while (part := book.next_part()) is not None:
            parts.append(part)
        return b"".join(parts)
    finally:
        book.close()
