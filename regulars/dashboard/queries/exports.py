"""A shop's customers as a file, streamed out of the owner's transaction and safe to open in a spreadsheet.

CSV: RFC 4180 in UTF-8 with a byte order mark, by which Excel recognises the encoding. Times are in the shop's zone, in
the form that spreadsheets read. A text that a spreadsheet would run as a formula gets an apostrophe in front, and so
does every phone number, because it starts with a plus. Where a spreadsheet separates cells by semicolons, tabs or bars,
a formula after one of these is a cell of its own, so it gets an apostrophe too.

XLSX: typed cells in the shop's zone, texts that are never formulas, and the definitions on a second sheet.
"""

import csv
import io
import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, ClassVar

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

from regulars.dashboard.errors import NotLoaded
from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.queries.customers import conditions
from regulars.dashboard.queries.filters import CustomerFilter
from regulars.dashboard.queries.freshness import freshness, require_counted
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.queries.select import select_list
from regulars.dashboard.queries.shops import chosen_shop
from regulars.dashboard.queries.sorting import order_by
from regulars.dashboard.queries.workbook import MEDIA_TYPE, Workbook
from regulars.dashboard.schemas import CustomerRow, PhoneRow, Row, with_cents
from regulars.dashboard.security.tokens import Owner

log = logging.getLogger("regulars.dashboard")

_ROWS_PER_FETCH = 1000
_MAX_SECONDS = 600
_BYTE_ORDER_MARK = "\ufeff"

# The start of a formula, also after blanks, which spreadsheets trim, and in full-width East Asian characters.
_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_AFTER_A_SEPARATOR = re.compile(r"([;|\t]\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


class Export:
    """An export under way, as CSV. It holds a connection until `close()`; `next_part()` returns None at the end."""

    media_type: ClassVar[str] = "text/csv"
    suffix: ClassVar[str] = "csv"
    model: ClassVar[type[Row]] = CustomerRow
    as_text: ClassVar[tuple[str, ...]] = ()
    """Types whose values are written as PostgreSQL does."""

    def __init__(
        self, reader: Reader, owner: Owner, slug: str | None, query: CustomerFilter, *, stale_after: timedelta
    ) -> None:
        """Fetches the first rows. Raises NoSuchShop, ShopNotNamed, NotCountedYet, TooManyAtOnce and NotLoaded."""
        self._reader = reader
        self._owner = owner
        self._started = time.monotonic()
        self._is_complete = False
        self.rows = 0
        with ExitStack() as stack:
            self._connection = stack.enter_context(reader.as_owner(owner, reads="export"))
            self.shop = chosen_shop(self._connection, slug)
            self.freshness = freshness(self._connection, stale_after=stale_after)
            require_counted(self._connection, self.shop)
            self._zone = self.shop.zone
            self._declare(query)
            self._cursor = self._connection.cursor()
            for name in self.as_text:
                self._cursor.adapters.register_loader(name, TextLoader)
            try:
                self._first: bytes | None = self._header() + self._fetch()
            except BaseException:
                self._discard()
                raise
            self._held = stack.pop_all()

    @property
    def filename(self) -> str:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.shop.shop_slug or str(self.shop.shop_id))
        return f"customers-{name}-{datetime.now(self._zone):%Y-%m-%d}.{self.suffix}"

    def next_part(self) -> bytes | None:
        """May be empty. Raises NotLoaded where the rest can't be read: what was returned so far is incomplete."""
        if self._first is not None:
            part, self._first = self._first, None
            return part
        if self._is_complete:
            return self._rest()
        if time.monotonic() - self._started > _MAX_SECONDS:
            raise NotLoaded
        try:
            return self._fetch()
        except psycopg.OperationalError:
            raise NotLoaded from None

    def close(self) -> None:
        """Returns the connection, and logs who exported how many rows."""
        self._discard()
        log.info(
            "customers were exported",
            extra={
                "fields": {
                    "sub": self._owner.sub,
                    "file": self.suffix,
                    "shop": str(self.shop.shop_id),
                    "rows": self.rows,
                    "complete": self._is_complete and self._first is None,
                }
            },
        )
        with suppress(NotLoaded):
            self._held.close()

    def _declare(self, query: CustomerFilter) -> None:
        wheres, parameters = conditions(self.shop, query)
        self._connection.execute(
            sql.SQL(
                """
                declare export no scroll cursor for
                select {}
                from dashboard.customers
                left join dashboard.customer_contacts as contacts
                    on customers.shop_id = contacts.shop_id
                    and customers.shop_customer_id = contacts.shop_customer_id
                where {}
                order by {}
                """
            ).format(select_list(self.model), sql.SQL(" and ").join(wheres), order_by(query.sort)),
            parameters,
        )

    def _fetch(self) -> bytes:
        self._reader.renew_deadline(self._connection)
        rows = self._cursor.execute(sql.SQL("fetch {} from export").format(_ROWS_PER_FETCH)).fetchall()
        self.rows += len(rows)
        self._is_complete = len(rows) < _ROWS_PER_FETCH
        return self._write(rows)

    def _header(self) -> bytes:
        return _BYTE_ORDER_MARK.encode() + _csv([list(self.model.model_fields)])

    def _write(self, rows: Sequence[tuple[Any, ...]]) -> bytes:
        return _csv([_cell(value, self._zone) for value in row] for row in rows)

    def _rest(self) -> bytes | None:
        """The bytes after the last row."""
        return None

    def _discard(self) -> None:
        """Deletes the temporary files."""


class WorkbookExport(Export):
    """As XLSX. The file is made on disk, because its index comes last, and sent when it is complete."""

    media_type = MEDIA_TYPE
    suffix = "xlsx"
    as_text = ("uuid", "numeric")

    def _header(self) -> bytes:
        self._workbook = Workbook(self.shop, _("Customers"), self.model)
        return b""

    def _write(self, rows: Sequence[tuple[Any, ...]]) -> bytes:
        self._workbook.add(rows)
        return b""

    def _rest(self) -> bytes | None:
        # All rows are read: another request may use the connection while the file is sent.
        with suppress(NotLoaded):
            self._held.close()
        return self._workbook.next_part()

    def _discard(self) -> None:
        self._workbook.close()


class PhonesExport(Export):
    """The phone numbers alone, one a line, to paste elsewhere."""

    media_type = "text/plain"
    suffix = "txt"
    model = PhoneRow

    def _header(self) -> bytes:
        return b""

    def _write(self, rows: Sequence[tuple[Any, ...]]) -> bytes:
        return "".join(f"{phone}\n" for (phone,) in rows if phone).encode()


def csv_file(model: type[Row], rows: Sequence[Row], *, zone: tzinfo) -> bytes:
    """A small table as a whole file."""
    names = list(model.model_fields)
    cells = ([_cell(getattr(row, name), zone) for name in names] for row in rows)
    return _BYTE_ORDER_MARK.encode() + _csv([names]) + _csv(cells)


def _csv(rows: Iterator[list[str]] | list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: object, zone: tzinfo) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _AFTER_A_SEPARATOR.sub(r"\1'", f"'{value}" if _FORMULA.match(value) else value)
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(" ", "seconds")[:19]
    if isinstance(value, Decimal):
        return format(with_cents(value), "f")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
