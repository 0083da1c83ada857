"""Why there is no forecast, and why there are no segments: stored as English text, shown in the reader's language.

Other texts are shown as they are stored.
"""

import re
from functools import cache

from regulars.dashboard.language.catalogue import N_
from regulars.dashboard.language.catalogue import gettext as _

_REASONS = (
    # flows/forecast/fitting.py
    N_("%(customers)s customers have bought on two days or more; %(needed)s are needed"),
    N_("the first sale was %(weeks)s weeks ago; %(needed)s are needed"),
    # flows/forecast/bgnbd.py
    N_("the search for the likeliest parameters did not end"),
    N_("no parameters are the likeliest: the search ran to its limit (%(parameters)s)"),
    N_("what its parameters predict can't be computed"),
    # flows/forecast/gamma_gamma.py
    N_("%(customers)s customers have repeat purchases with a positive amount; %(needed)s are needed"),
    N_("all customers spend the same"),
    N_(
        "amounts depend on how often a customer buys (correlation %(correlation)s; the model allows %(highest)s)"
    ),
    N_("no parameters are the likeliest: the search ended at %(parameters)s"),
    N_("the mean amount has no finite expectation (%(parameters)s)"),
    # models/current/shop_segments.sql
    N_("fewer than %(needed)s customers: %(customers)s"),
    # queries/outlook.py
    N_("nothing is predicted of a person who was erased"),
    N_("the first purchase came after the latest prediction, which begins on %(day)s"),
    N_("the shop has no prediction yet; the next refresh makes one"),
)  # fmt: skip


def reason(stored: str) -> str:
    """The reason in the language of the request."""
    for pattern, text in _patterns():
        if found := pattern.fullmatch(stored):
            return _(text, **found.groupdict())
    return stored


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(text))), text) for text in _REASONS]
