"""A workbook for Excel with typed cells, written to a temporary folder; definitions are its last sheet.

XlsxWriter makes the book without its rows: styles, sheets with their headings, definitions. The rows are inserted.
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile

import xlsxwriter

from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.queries.definitions import definition, heading
from regulars.dashboard.queries.sheet_rows import Kind, SheetRows, kinds
from regulars.dashboard.schemas import Row, Shop

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_LAST_ROW = 1_048_576
"""Excel's."""
_LEVEL = 4
"""The level of compression: 6, the default, takes a quarter longer and makes the file a tenth smaller."""
_PART = 256 * 1024
_FORMATS: dict[Kind, str] = {
    "text": "@", "count": "0", "amount": "#,##0.00##", "day": "yyyy-mm-dd", "moment": "yyyy-mm-dd hh:mm:ss",
    "flag": "General",
}  # fmt: skip
_END_OF_ROWS = b"</sheetData>"


class Workbook:
    """One table. `add()` its rows, and read the file by `next_part()`. `close()` deletes what is on disk."""

    def __init__(self, shop: Shop, title: str, model: type[Row]) -> None:
        """The columns are the model's fields."""
        self._shop = shop
        self._title = title
        self._model = model
        self._folder = tempfile.TemporaryDirectory(prefix="regulars-")
        self._path = Path(self._folder.name) / "book.xlsx"
        self._zip = ZipFile(self._path, "w", ZIP_DEFLATED, compresslevel=_LEVEL)
        self._sheets = 0
        self._sheet: IO[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._begin_sheet()

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """A full sheet is followed by another."""
        while rows:
            room = _LAST_ROW - self._last_row
            self._write(rows[:room])
            rows = rows[room:]
            if rows:
                self._begin_sheet()

    def next_part(self) -> bytes | None:
        """The next bytes of the file; None at its end. No row can be added after the first call."""
        if self._file is None:
            self._end_sheet()
            self._copy_the_rest()
            self._file = self._path.open("rb")
        return self._file.read(_PART) or None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._sheet is not None:
            self._sheet.close()
        self._zip.close()
        self._folder.cleanup()

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        if self._sheet is not None and rows:
            self._sheet.write(self._rows.xml(rows, first=self._last_row + 1))
            self._last_row += len(rows)

    def _begin_sheet(self) -> None:
        self._end_sheet()
        self._sheets += 1
        name = _sheet_name(self._sheets)
        with self._without_rows() as book:
            before, self._after_rows = book.read(name).split(_END_OF_ROWS)
            if self._sheets == 1:
                # Other programs recognise a workbook by the archive's first entry.
                self._zip.writestr("_rels/.rels", book.read("_rels/.rels"))
        self._rows = SheetRows(kinds(self._model), _styles(before), self._shop.zone)
        self._sheet = self._zip.open(name, "w")
        # XlsxWriter counts the headings alone.
        self._sheet.write(re.sub(rb"<dimension [^>]*/>", b"", before))
        self._last_row = 1

    def _end_sheet(self) -> None:
        if self._sheet is not None:
            self._sheet.write(_END_OF_ROWS + self._after_rows)
            self._sheet.close()
            self._sheet = None

    def _copy_the_rest(self) -> None:
        with self._without_rows() as book:
            for name in book.namelist():
                if name not in self._zip.namelist():
                    self._zip.writestr(name, book.read(name))
        self._zip.close()

    def _without_rows(self) -> ZipFile:
        """The whole book with as many sheets as there are now, without their rows."""
        path = Path(self._folder.name) / "without_rows.xlsx"
        # constant_memory writes each text into its cell, so that a sheet is complete in itself.
        with xlsxwriter.Workbook(path, {"constant_memory": True, "tmpdir": self._folder.name}) as book:
            bold = book.add_format({"bold": True})
            formats = {kind: book.add_format({"num_format": code}) for kind, code in _FORMATS.items()}
            for number in range(1, self._sheets + 1):
                sheet = book.add_worksheet(self._title if number == 1 else f"{self._title} {number}")
                sheet.freeze_panes(1, 1)
                for column, (name, kind) in enumerate(zip(self._model.model_fields, kinds(self._model), strict=True)):
                    sheet.set_column(column, column, 18, formats[kind])
                    sheet.write_string(0, column, heading(name), bold)
            sheet = book.add_worksheet(_("Definitions"))
            sheet.set_column(0, 1, 26)
            sheet.set_column(2, 2, 90)
            for row, line in enumerate(self._definitions()):
                for column, text in enumerate(line):
                    sheet.write_string(row, column, text, bold if row == 0 else None)
        return ZipFile(path)

    def _definitions(self) -> list[tuple[str, str, str]]:
        return [
            (_("Sheet"), _("Column"), _("Meaning")),
            *((self._title, heading(name), definition(self._model, name)) for name in self._model.model_fields),
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


def _styles(sheet: bytes) -> list[int]:
    """The style of each column: XlsxWriter joins neighbours of the same one."""
    found = re.findall(rb'<col min="(\d+)" max="(\d+)"[^>]* style="(\d+)"', sheet)
    return [int(style) for first, last, style in found for _ in range(int(first), int(last) + 1)]


def _sheet_name(number: int) -> str:
    return f"xl/worksheets/sheet{number}.xml"


def xlsx_file(title: str, model: type[Row], rows: Sequence[Row], *, shop: Shop) -> bytes:
    """A small table as a whole file."""
    book = Workbook(shop, title, model)
    try:
        book.add([[getattr(row, name) for name in model.model_fields] for row in rows])
        parts = []
        while (part := book.next_part()) is not None:
            parts.append(part)
        return b"".join(parts)
    finally:
        book.close()
