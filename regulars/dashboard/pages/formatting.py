"""Formats numbers, money, days and moments for the pages."""

from datetime import UTC, date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Context, Decimal
from zoneinfo import ZoneInfo

_NO_BREAK_SPACE = "\u00a0"
_MINUS = "\u2212"
# Longer than any amount that PostgreSQL stores.
_EXACT = Context(prec=1000, rounding=ROUND_HALF_UP)

# ISO 4217: the digits after the point, where they are not two.
_DIGITS = dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


def number(value: int | Decimal) -> str:
    """1,234"""
    return f"{value:,.0f}".replace("-", _MINUS)


def counted(value: int, thing: str) -> str:
    """1 customer, 1,234 customers"""
    return f"{number(value)} {thing}{'' if value == 1 else 's'}"


def amount(value: Decimal, currency: str) -> str:
    """1,234.50, where a heading names the currency."""
    digits = _DIGITS.get(currency, 2)
    if digits < 2 and value != value.to_integral_value():
        digits = 2  # the storefront has fractions
    return f"{_rounded(value, digits):,}".replace("-", _MINUS)


def money(value: Decimal, currency: str) -> str:
    """GHS 1,234.50, on one line."""
    return f"{currency}{_NO_BREAK_SPACE}{amount(value, currency)}"


def percent(rate: Decimal | float, digits: int = 1) -> str:
    """0.1234 as 12.3%."""
    return f"{_rounded(100 * Decimal(str(rate)), digits)}%".replace("-", _MINUS)


def change(rate: Decimal) -> str:
    """0.082 as +8%, with its sign; 0% has none."""
    rounded = int(_rounded(100 * rate, 0))
    return f"{rounded:+,}%".replace("-", _MINUS) if rounded else "0%"


def shortened(text: str, limit: int = 28) -> str:
    """A long text without its middle: of a link, both the beginning and the end tell it from others."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[-tail:]}"


def span(first: date, last: date) -> str:
    """1 to 24 Nov 2026; 30 Oct to 24 Nov 2026; 1 Dec 2025 to 24 Nov 2026"""
    if first == last:
        return day(last)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {day(last)}"
    return f"{first.day} {first:%b}{'' if first.year == last.year else f' {first.year}'} to {day(last)}"


def volume(gigabytes: Decimal) -> str:
    """1.5, 10: without trailing zeros."""
    written = f"{gigabytes:,f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _rounded(value: Decimal, digits: int) -> Decimal:
    """Rounds half up, as the models and the pictures do; Python would round half to even."""
    return value.quantize(Decimal(1).scaleb(-digits), context=_EXACT)


def zone_of(name: str) -> tzinfo:
    """UTC where the storefront's zone is unknown, as in the models."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return UTC


def moment(at: datetime, zone: tzinfo) -> str:
    """22 Nov 2026, 02:31"""
    local = at.astimezone(zone)
    return f"{day(local)}, {local:%H:%M}"


def day(on: date) -> str:
    """22 Nov 2026"""
    return f"{on.day} {on:%b %Y}"


def month(on: date) -> str:
    """Nov 2026"""
    return f"{on:%b %Y}"


def full_month(on: date) -> str:
    """November 2026"""
    return f"{on:%B %Y}"


def month_name(on: date) -> str:
    """November"""
    return f"{on:%B}"
