"""The default grid's segments in plain words. A shop's own segments keep the names that the shop gave them."""

WORDS: dict[str, tuple[str, str]] = {
    "champions": ("Best", "They bought lately, often, and for much."),
    "loyal": ("Loyal", "They buy often, or for much."),
    "potential loyal": ("Could become loyal", "They bought lately, and a few times."),
    "new": ("New", "They bought lately, for the first time or for little."),
    "promising": ("Bought a little", "They bought not long ago, rarely and for little."),
    "needs attention": ("Slowing down", "They used to buy more; their last purchase was some time ago."),
    "at risk": ("May leave", "They bought often, but not for a long time."),
    "can't lose": ("Best, but silent", "They were among the best, and have not bought for the longest time."),
    "hibernating": ("Silent", "They bought rarely, and not for a long time."),
    "lost": ("Lost", "They bought rarely, and not for the longest time."),
    "unnamed": ("No name", "The shop's grid does not name them."),
}


def label(segment: str) -> str:
    return WORDS[segment][0] if segment in WORDS else segment[:1].upper() + segment[1:]


def meaning(segment: str) -> str:
    """Empty for a segment of the shop's own."""
    return WORDS[segment][1] if segment in WORDS else ""
