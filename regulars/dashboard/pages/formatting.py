"""How numbers, money, days and moments are written on the pages. What isn't known is never written as a number."""

from datetime import UTC, date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Context, Decimal
from zoneinfo import ZoneInfo

_NARROW = "\u00a0"
_MINUS = "\u2212"
# As long as any amount that PostgreSQL takes.
_EXACT = Context(prec=1000, rounding=ROUND_HALF_UP)

# ISO 4217: how many digits an amount has after the point, where it is not two.
_DIGITS = dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


def number(value: int | Decimal) -> str:
    """1,234"""
    return f"{value:,.0f}".replace("-", _MINUS)


def amount(value: Decimal, currency: str) -> str:
    """1,234.50: what stands under a heading that names the currency."""
    digits = _DIGITS.get(currency, 2)
    if digits < 2 and value != value.to_integral_value():
        digits = 2  # the storefront does count in fractions
    return f"{_rounded(value, digits):,}".replace("-", _MINUS)


def money(value: Decimal, currency: str) -> str:
    """GHS 1,234.50, on one line."""
    return f"{currency}{_NARROW}{amount(value, currency)}"


def percent(rate: Decimal | float, digits: int = 1) -> str:
    """0.1234 as 12.3%."""
    return f"{_rounded(100 * Decimal(str(rate)), digits)}%".replace("-", _MINUS)


def change(rate: Decimal) -> str:
    """0.082 as +8%, with its sign; what rounds to nothing has none."""
    rounded = int(_rounded(100 * rate, 0))
    return f"{rounded:+,}%".replace("-", _MINUS) if rounded else "0%"


def volume(gigabytes: Decimal) -> str:
    """1.5, 10: without zeros that say nothing."""
    written = f"{gigabytes:,f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _rounded(value: Decimal, digits: int) -> Decimal:
    """As the models and the pictures round, and not half to even as Python does."""
    return value.quantize(Decimal(1).scaleb(-digits), context=_EXACT)


def zone_of(name: str) -> tzinfo:
    """UTC where the storefront's name for the zone is nobody's, as the models have it."""
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


def month_name(on: date) -> str:
    """November"""
    return f"{on:%B}"
