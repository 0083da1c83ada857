"""The sentences and the figure of the page about segments and about who is at risk."""

from collections.abc import Sequence

from regulars.dashboard.pages.figures import Figure
from regulars.dashboard.pages.formatting import counted, money, number
from regulars.dashboard.segment_schemas import SegmentSize, ShopSegments, StateSize


def segments(shop: ShopSegments, sizes: Sequence[SegmentSize]) -> Figure:
    """How many customers each segment has, the largest first."""
    held = [row for row in sizes if row.customers]
    if not shop.has_segments or not held:
        reason = shop.reason or "the next refresh names the customers"
        return Figure("segments", (), f"There are no segments yet: {reason}.")
    total, moved = sum(row.customers for row in held), sum(row.moved_in for row in sizes)
    largest = " and ".join(f"{number(row.customers)} are in “{row.segment}”" for row in held[:2])
    answer = (
        f"Of {counted(total, 'customer')}, {largest}. {counted(moved, 'customer')} moved to another segment since the "
        "month began."
    )
    rows = tuple({"segment": row.segment, "customers": row.customers} for row in held)
    return Figure("segments", rows, f"Bars of the customers of each segment, the largest first. {answer}", answer)


def at_risk(states: Sequence[StateSize], *, currency: str) -> str:
    """How many are at risk today, and what they were worth."""
    late = next((row for row in states if row.state == "at risk"), None)
    if late is None:
        known = any(row.state != "unknown" for row in states)
        why = "is" if known else "can be said to be"
        reason = "" if known else ": a rhythm is known once a customer has come back on another day"
        return f"Nobody {why} at risk{reason}."
    worth = f"; they were worth {money(late.net_per_month, currency)} a month" if late.net_per_month is not None else ""
    return f"{counted(late.customers, 'customer')} {'is' if late.customers == 1 else 'are'} at risk{worth}."
