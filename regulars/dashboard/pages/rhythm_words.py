"""A customer's rhythm and state in words. In English the rhythm reads as the model writes it for the API."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

from regulars.dashboard.language.catalogue import N_, ngettext
from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.pages.formatting import number, volume

_STATES = {
    "active": N_("Active"),
    "due": N_("Due"),
    "at risk": N_("At risk"),
    "lapsed": N_("Lapsed"),
    "unknown": N_("Unknown"),
}


class Rhythm(Protocol):
    @property
    def gap_days(self) -> Decimal | None: ...
    @property
    def uses_shop_median(self) -> bool | None: ...
    @property
    def days_since(self) -> int: ...


def state(name: str) -> str:
    """A state of customers, as a heading."""
    return _(_STATES[name])


def reason(rhythm: Rhythm) -> str:
    """buys every 9 days; 24 days ago"""
    return _("%(rhythm)s; %(last)s", rhythm=_gap(rhythm), last=_since(rhythm.days_since))


def sentence(rhythm: Rhythm) -> str:
    """The reason, as a sentence."""
    told = reason(rhythm)
    return f"{told[0].upper()}{told[1:]}."


def _gap(rhythm: Rhythm) -> str:
    if rhythm.gap_days is None:
        return _("nobody has come back to the shop on another day yet")
    if rhythm.gap_days == 1:
        return _("the shop's customers buy every day") if rhythm.uses_shop_median else _("buys every day")
    days = volume(rhythm.gap_days.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP))
    if rhythm.uses_shop_median:
        return _("the shop's customers buy every %(days)s days", days=days)
    return _("buys every %(days)s days", days=days)


def _since(days: int) -> str:
    if days <= 0:
        return _("today")
    return ngettext("%(days)s day ago", "%(days)s days ago", days, days=number(days))
