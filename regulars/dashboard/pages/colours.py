"""The stylesheet's colours, which a picture can't read from there."""

from dataclasses import dataclass
from typing import Literal

Theme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Colours:
    ink: str
    muted: str
    line: str
    new: str
    returning: str
    low: str
    high: str
    on_low: str
    on_high: str
    young: str
    """The newest of several curves; the oldest is `high`."""
    series: tuple[str, ...]
    """Colours of unordered kinds; the last one is for the rest."""


COLOURS: dict[Theme, Colours] = {
    "light": Colours(
        ink="#1b2420", muted="#56645e", line="#dde4e0", new="#c4770f", returning="#0f6f63",
        low="#e6f0ed", high="#0b5a50", on_low="#1b2420", on_high="#ffffff", young="#e0a35a",
        series=("#0f6f63", "#c4770f", "#5568b0", "#a4527a", "#75862f", "#8b9a93"),
    ),
    "dark": Colours(
        ink="#e6ede9", muted="#9dada6", line="#2c3733", new="#e3a44b", returning="#45b5a4",
        low="#1f2d29", high="#5fd0be", on_low="#e6ede9", on_high="#10201c", young="#b9772a",
        series=("#45b5a4", "#e3a44b", "#8c9fe6", "#d98ab2", "#b1c471", "#6d7d76"),
    ),
}  # fmt: skip


def blend(first: str, last: str, share: float) -> str:
    """The colour at a share of the way from `first` (0) to `last` (1), both as #rrggbb."""
    parts = ((int(first[at : at + 2], 16), int(last[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(start + (end - start) * share):02x}" for start, end in parts)
