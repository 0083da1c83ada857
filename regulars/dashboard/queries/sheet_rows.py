"""Rows of a table as the rows of a worksheet, in Office Open XML (ECMA-376, part 1, 18.3.1).

It writes a column at a time, because a shop may have a million customers, and XlsxWriter, which writes cells, takes
four times as long.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Any, Literal, get_args
from xml.sax.saxutils import escape

from regulars.dashboard.schemas import Row

Kind = Literal["text", "count", "amount", "day", "moment", "flag"]

_LONGEST_TEXT = 32_767
_DAY_0 = date(1899, 12, 30).toordinal()
_SECONDS_A_DAY = 24 * 60 * 60

_KINDS: dict[object, Kind] = {int: "count", Decimal: "amount", date: "day", datetime: "moment", bool: "flag"}

# Characters that XML doesn't allow are written as _x0001_, and so are texts that look like this.
_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_SPECIAL = re.compile(rf"[&<>\t\n]|^ | $|{_UNWRITABLE.pattern}")


def kinds(model: type[Row]) -> list[Kind]:
    """What each column of a model holds."""
    return [_kind(field.annotation) for field in model.model_fields.values()]


def _kind(annotation: object) -> Kind:
    # Of `Annotated[Decimal, …] | None`, Decimal.
    while arguments := get_args(annotation):
        annotation = arguments[0]
    return _KINDS.get(annotation, "text")


@dataclass(frozen=True, slots=True)
class SheetRows:
    """Writes rows whose columns are of these kinds and have these styles, numbers in the workbook's list of them.

    Amounts may be texts as PostgreSQL writes them; moments become those of `zone`, to the second.
    """

    kinds: Sequence[Kind]
    styles: Sequence[int]
    zone: tzinfo

    def xml(self, rows: Sequence[Sequence[Any]], *, first: int) -> bytes:
        """The rows from number `first` on. None has no cell."""
        columns = [
            [
                f'<c r="{letter}{number}" s="{style}"{content}</c>' if content else ""
                for number, content in enumerate(self._contents(kind, values), first)
            ]
            for letter, kind, style, values in zip(
                _letters(), self.kinds, self.styles, zip(*rows, strict=True), strict=False
            )
        ]
        cells = map("".join, zip(*columns, strict=True))
        return "".join(f'<row r="{number}">{row}</row>' for number, row in enumerate(cells, first)).encode()

    def _contents(self, kind: Kind, values: Iterable[Any]) -> Iterator[str | None]:
        write = self._moment if kind == "moment" else _WRITERS[kind]
        return (None if value is None else write(value) for value in values)

    def _moment(self, value: datetime) -> str:
        at = value.astimezone(self.zone)
        seconds = at.hour * 3600 + at.minute * 60 + at.second
        return f"><v>{at.toordinal() - _DAY_0 + seconds / _SECONDS_A_DAY:.9f}</v>"


def _text(value: object) -> str:
    text = str(value)[:_LONGEST_TEXT]
    if not _SPECIAL.search(text):
        return f' t="inlineStr"><is><t>{text}</t></is>'
    written = escape(_UNWRITABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", text))
    return f' t="inlineStr"><is><t xml:space="preserve">{written}</t></is>'


def _number(value: object) -> str:
    return f"><v>{value}</v>"


def _day(value: date) -> str:
    return f"><v>{value.toordinal() - _DAY_0}</v>"


def _flag(value: bool) -> str:
    return f' t="b"><v>{value:d}</v>'


_WRITERS: dict[Kind, Callable[[Any], str]] = {
    "text": _text, "count": _number, "amount": _number, "day": _day, "flag": _flag,
}  # fmt: skip


def _letters() -> Iterator[str]:
    """A to Z; no table has more columns."""
    return map(chr, range(ord("A"), ord("Z") + 1))
