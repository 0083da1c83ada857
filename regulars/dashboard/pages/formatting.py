"""Formats numbers, money, days and moments for the pages, in the language of the request that is being answered."""

from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache

from babel import Locale
from babel.numbers import get_currency_symbol

from regulars.dashboard.language.catalogue import DEFAULT, language, pgettext

_MINUS = "\u2212"
# Longer than any amount that PostgreSQL stores.
_EXACT = Context(prec=1000, rounding=ROUND_HALF_UP)

# ISO 4217: the digits after the point, where they are not two.
_DIGITS = dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


@dataclass(frozen=True, slots=True)
class _Conventions:
    """A language's own, from the CLDR."""

    signs: dict[int, str]
    """Python's signs → the language's, for `str.translate`; Babel's format_decimal would cost a page 20 ms."""
    percent: str
    """The percent sign, in French with the blank before it."""
    months: dict[int, str]
    short_months: dict[int, str]


@cache
def _conventions(chosen: str) -> _Conventions:
    locale = Locale.parse(chosen)
    symbols = locale.number_symbols["latn"]
    signs = {ord(","): symbols["group"], ord("."): symbols["decimal"], ord("-"): _MINUS}
    names = locale.months["format"]
    percent = locale.percent_formats[None].pattern.removeprefix("#,##0")
    return _Conventions(signs, percent, dict(names["wide"]), dict(names["abbreviated"]))


def _written(plain: str) -> str:
    return plain.translate(_conventions(language()).signs)


def number(value: int | Decimal) -> str:
    """1,234"""
    return _written(f"{value:,.0f}")


def decimal(value: Decimal, digits: int) -> str:
    """1,234.50"""
    return _written(f"{_rounded(value, digits):,}")


def amount(value: Decimal, currency: str) -> str:
    """1,234.50, where a heading names the currency.

    Rounded to the currency's digits: a franc has no cents, nor has an average of francs. The API and the files are
    exact.
    """
    return decimal(value, _DIGITS.get(currency, 2))


def unit(currency: str) -> str:
    """GHS. English has the code, as in the API; French has the symbol on prices: F CFA for XOF."""
    return currency if language() == DEFAULT else get_currency_symbol(currency, locale=language())


def money(value: Decimal, currency: str) -> str:
    """GHS 1,234.50, on one line."""
    return pgettext("money", "%(currency)s\u00a0%(amount)s", currency=unit(currency), amount=amount(value, currency))


def percent(rate: Decimal | float, digits: int = 1) -> str:
    """0.1234 as 12.3%."""
    return decimal(100 * Decimal(str(rate)), digits) + _conventions(language()).percent


def change(rate: Decimal) -> str:
    """0.082 as +8%, with its sign; 0% has none."""
    rounded = int(_rounded(100 * rate, 0))
    return _written(f"{rounded:+,}" if rounded else "0") + _conventions(language()).percent


def shortened(text: str, limit: int = 28) -> str:
    """A long text without its middle: both ends distinguish a link from others."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[-tail:]}"


def span(first: date, last: date) -> str:
    """1 to 24 Nov 2026; 30 Oct to 24 Nov 2026; 1 Dec 2025 to 24 Nov 2026"""
    if first == last:
        return day(last)
    if (first.year, first.month) == (last.year, last.month):
        begins = _day_of_month(first)
    elif first.year == last.year:
        begins = f"{_day_of_month(first)} {short_month(first)}"
    else:
        begins = day(first)
    return pgettext("days", "%(first)s to %(last)s", first=begins, last=day(last))


def volume(gigabytes: Decimal) -> str:
    """1.5, 10: without trailing zeros."""
    plain = f"{gigabytes:,f}"
    return _written(plain.rstrip("0").rstrip(".") if "." in plain else plain)


def _rounded(value: Decimal, digits: int) -> Decimal:
    """Rounds half up, as the models and the pictures do; Python would round half to even."""
    return value.quantize(Decimal(1).scaleb(-digits), context=_EXACT)


# Day, month, year, in this order in both languages.


def moment(at: datetime, zone: tzinfo) -> str:
    """22 Nov 2026, 02:31"""
    local = at.astimezone(zone)
    return f"{day(local)}, {local:%H:%M}"


def day(on: date) -> str:
    """22 Nov 2026"""
    return f"{_day_of_month(on)} {month(on)}"


def _day_of_month(on: date) -> str:
    """22; the first is an ordinal in French, and no other day is."""
    return pgettext("day of a month", "1") if on.day == 1 else str(on.day)


def month(on: date) -> str:
    """Nov 2026"""
    return f"{short_month(on)} {on.year}"


def full_month(on: date) -> str:
    """November 2026"""
    return f"{month_name(on)} {on.year}"


def month_name(on: date) -> str:
    """November"""
    return _conventions(language()).months[on.month]


def short_month(on: date) -> str:
    """Nov"""
    return _conventions(language()).short_months[on.month]
