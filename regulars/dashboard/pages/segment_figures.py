"""The sentences and the figure of the page about segments and about who is at risk."""

from collections.abc import Sequence

from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.language.catalogue import ngettext
from regulars.dashboard.pages import segment_words
from regulars.dashboard.pages.figures import Figure
from regulars.dashboard.pages.formatting import money, number
from regulars.dashboard.pages.reasons import reason
from regulars.dashboard.segment_schemas import SegmentSize, ShopSegments, StateSize


def segments(shop: ShopSegments, sizes: Sequence[SegmentSize]) -> Figure:
    """How many customers each segment has, the largest first."""
    held = [row for row in sizes if row.customers]
    if not shop.has_segments or not held:
        why = reason(shop.reason) if shop.reason else _("the next refresh names the customers")
        return Figure("segments", (), _("There are no segments yet: %(reason)s.", reason=why))
    total, moved = sum(row.customers for row in held), sum(row.moved_in for row in sizes)
    answer = ngettext(
        "Of %(customers)s customer, %(segments)s.", "Of %(customers)s customers, %(segments)s.", total,
        customers=number(total), segments=_largest(held),
    )  # fmt: skip
    answer += " " + ngettext(
        "%(customers)s customer moved to another segment since the month began.",
        "%(customers)s customers moved to another segment since the month began.",
        moved,
        customers=number(moved),
    )
    rows = tuple({"segment": segment_words.label(row.segment), "customers": row.customers} for row in held)
    summary = _("Bars of the customers of each segment, the largest first. %(answer)s", answer=answer)
    return Figure("segments", rows, summary, answer)


def _largest(held: Sequence[SegmentSize]) -> str:
    parts = [
        _(
            "%(customers)s are in “%(segment)s”",
            customers=number(row.customers),
            segment=segment_words.label(row.segment),
        )
        for row in held[:2]
    ]
    return parts[0] if len(parts) == 1 else _("%(first)s and %(second)s", first=parts[0], second=parts[1])


def at_risk(states: Sequence[StateSize], *, currency: str) -> str:
    """How many are at risk today, and what they were worth."""
    late = next((row for row in states if row.state == "at risk"), None)
    if late is None and any(row.state != "unknown" for row in states):
        return _("Nobody is at risk.")
    if late is None:
        return _("Nobody can be said to be at risk: a rhythm is known once a customer has come back on another day.")
    customers = number(late.customers)
    if late.net_per_month is None:
        return ngettext(
            "%(customers)s customer is at risk.", "%(customers)s customers are at risk.", late.customers,
            customers=customers,
        )  # fmt: skip
    return ngettext(
        "%(customers)s customer is at risk; they were worth %(amount)s a month.",
        "%(customers)s customers are at risk; they were worth %(amount)s a month.",
        late.customers,
        customers=customers,
        amount=money(late.net_per_month, currency),
    )
