"""The default grid's segments in plain words. A shop's own segments keep the names that the shop gave them."""

from regulars.dashboard.language.catalogue import N_
from regulars.dashboard.language.catalogue import gettext as _

WORDS: dict[str, tuple[str, str]] = {
    "champions": (N_("Best"), N_("They bought lately, often, and for much.")),
    "loyal": (N_("Loyal"), N_("They buy often, or for much.")),
    "potential loyal": (N_("Could become loyal"), N_("They bought lately, and a few times.")),
    "new": (N_("New"), N_("They bought lately, for the first time or for little.")),
    "promising": (N_("Bought a little"), N_("They bought not long ago, rarely and for little.")),
    "needs attention": (N_("Slowing down"), N_("They used to buy more; their last purchase was some time ago.")),
    "at risk": (N_("May leave"), N_("They bought often, but not for a long time.")),
    "can't lose": (N_("Best, but silent"), N_("They were among the best, and have not bought for the longest time.")),
    "hibernating": (N_("Silent"), N_("They bought rarely, and not for a long time.")),
    "lost": (N_("Lost"), N_("They bought rarely, and not for the longest time.")),
    "unnamed": (N_("No name"), N_("The shop's grid does not name them.")),
}


def label(segment: str) -> str:
    return _(WORDS[segment][0]) if segment in WORDS else segment[:1].upper() + segment[1:]


def meaning(segment: str) -> str:
    """Empty for a segment of the shop's own."""
    return _(WORDS[segment][1]) if segment in WORDS else ""
