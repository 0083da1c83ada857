"""Reading import files, a storefront's export: CSV, plain or gzipped; each bad row is rejected with a reason."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import phonenumbers
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
)
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from ingest.storage.errors import InputError
from ingest.storage.time_zones import in_utc, require_zone

_BARE_NUMBER = re.compile(r"\s*[+-]?[\d.]*\s*")


def _require_full_time(moment: object) -> object:
    """Rejects a bare number: pydantic reads 20260314 as seconds since 1970, which is a day in August of that year."""
    if isinstance(moment, str) and _BARE_NUMBER.fullmatch(moment):
        raise ValueError("is not a time such as 2026-03-14T12:00:00Z")
    return moment


class _PlainDigits:
    """Annotates a Decimal: accepts only the digits 0 to 9.

    Python's Decimal also reads 1_000, and the digits of every script, even several in one number. This is a schema
    rather than a validator in Python, which would double the time that reading a file takes.
    """

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        # NaN and Infinity pass here, and are rejected by the Decimal, which must be finite.
        plain = core_schema.str_schema(pattern=r"^[0-9A-Za-z.+-]*$")
        named = core_schema.custom_error_schema(
            plain, "plain_digits", custom_error_message="is not a number such as 1000.00, in the digits 0 to 9"
        )
        return core_schema.chain_schema([named, handler(source)])


def _known_country(code: str) -> str:
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("is not a country code such as GH")
    return code


Name = Annotated[str, Field(max_length=200)]
Money = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2), _PlainDigits()]
Moment = Annotated[datetime, BeforeValidator(_require_full_time), AfterValidator(in_utc)]


class ShopRow(BaseModel):
    """One row of shops.csv."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    user_id: UUID
    shop_name: Name
    shop_slug: Name
    timezone: Annotated[str, AfterValidator(require_zone)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    country: Annotated[str, AfterValidator(_known_country)]


class OrderRow(BaseModel):
    """One row of orders.csv. `created_at` and `accessed_at` without an offset are UTC."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    shop_slug: Name
    customer_name: str | None
    customer_email: str | None
    customer_phone: str | None
    network: str | None
    volume_gb: Annotated[Decimal, Field(ge=0, max_digits=20), _PlainDigits()] | None
    base_price: Money
    profit_amount: Money
    total_price: Money
    order_status: Name
    payment_status: Name
    reference_code: str | None
    created_at: Moment
    accessed_via_slug: str | None
    accessed_at: Moment | None = None
    referrer: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None


Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not imported: where it is, and why. Lines count from 1, which is the heading."""

    file: str
    line: int
    reason: str


class ImportFile(Generic[Row]):
    """A CSV file of `model`'s rows. Iterate to get (line, row); rows that can't be read go to `rejects`.

    After the iteration, `is_cut_off` says whether the file ended in mid-stream, as a half-copied .gz does, and
    `last_line` is the last complete line. `on_bytes` receives the position in the file as the reading goes on.
    Raises InputError if the file can't be used at all.
    """

    def __init__(self, path: Path, model: type[Row], *, on_bytes: Callable[[int], None] = lambda _: None):
        self.path = path
        self.model = model
        self.rejects: list[Reject] = []
        self.is_cut_off = False
        self.last_line = 0
        self._on_bytes = on_bytes

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        try:
            with self.path.open("rb") as file:
                yield from self._rows(file)
        except FileNotFoundError:
            raise InputError(f"There is no file {self.path}.") from None
        except OSError as error:
            raise InputError(f"{self.path} can't be read: {error.strerror}.") from None

    def _rows(self, file: io.BufferedReader) -> Iterator[tuple[int, Row]]:
        reader = csv.reader(self._lines(file), strict=True)
        columns = self._columns(reader)
        validate = self.model.model_validate
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._reject(line, f"not CSV: {error}", last_line=reader.line_num)
                continue
            if not cells:
                continue
            if len(cells) != len(columns):
                self._reject(
                    line,
                    f"has {len(cells)} columns, the heading has {len(columns)}",
                    last_line=reader.line_num,
                )
                continue
            if not all(map(str.isascii, cells)) and any("\udc80" <= c <= "\udcff" for cell in cells for c in cell):
                self._reject(line, "not UTF-8: save the export as CSV UTF-8")
                continue
            try:
                yield (
                    line,
                    validate({c: cell.strip() or None for c, cell in zip(columns, cells, strict=True)}),
                )
            except ValidationError as error:
                self._reject(line, "; ".join(map(_describe, error.errors(include_url=False))))

    def _columns(self, reader: "Iterator[list[str]]") -> list[str]:
        try:
            heading = next(reader)
        except StopIteration:
            what = "ends in mid-stream, before its first row" if self.is_cut_off else "is empty"
            raise InputError(f"{self.path} {what}.") from None
        except csv.Error as error:
            raise InputError(f"{self.path} is not CSV: {error}.") from None
        columns = [name.strip() for name in heading]
        required = [name for name, field in self.model.model_fields.items() if field.is_required()]
        if missing := [name for name in required if name not in columns]:
            if "\0" in "".join(heading):
                raise InputError(f"{self.path} is not UTF-8 (UTF-16, by the look of it): save it as CSV UTF-8.")
            raise InputError(f"{self.path} lacks the column{'s'[: len(missing) > 1]} {', '.join(missing)}.")
        if len(set(columns)) < len(columns):
            raise InputError(f"{self.path} names a column twice.")
        return columns

    def _lines(self, file: io.BufferedReader) -> Iterator[str]:
        """Complete lines only: the last line of a file that was cut off can't be trusted."""
        start = file.peek(2)[:2]
        compressed = start == b"\x1f\x8b"
        stream = gzip.GzipFile(fileobj=file) if compressed else file
        if start and not compressed and self.path.suffix == ".gz":
            raise InputError(f"{self.path} is not gzipped, whatever its name says.")
        while True:
            try:
                line = stream.readline()
            except (EOFError, zlib.error, gzip.BadGzipFile):
                self.is_cut_off = True
                return
            if not line:
                return
            if self.last_line == 0:
                line = line.removeprefix(codecs.BOM_UTF8)
            elif b"\0" in line:  # which PostgreSQL can't store
                line = line.replace(b"\0", b"")
            self.last_line += 1
            if self.last_line % 1000 == 0:
                self._on_bytes(file.tell())
            yield line.decode("utf-8", "surrogateescape")

    def _reject(self, line: int, reason: str, *, last_line: int = 0) -> None:
        if last_line > line:
            reason += f"; it runs on to line {last_line}, as after a quote that is not closed"
        self.rejects.append(Reject(self.path.name, line, reason))


def _describe(error: ErrorDetails) -> str:
    """Names the column but never the value, which may be personal data."""
    wrong = "is empty" if error["input"] is None else error["msg"].removeprefix("Value error, ")
    return f"{'.'.join(map(str, error['loc']))}: {wrong}"
