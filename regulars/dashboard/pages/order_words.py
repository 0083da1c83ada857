"""The status of an order in words. An unknown status is shown as it is."""

from regulars.dashboard.language.catalogue import N_
from regulars.dashboard.language.catalogue import gettext as _

_STATUSES = {
    "pending": N_("Pending"),
    "processing": N_("Processing"),
    "completed": N_("Completed"),
    "paid": N_("Paid"),
    "unpaid": N_("Unpaid"),
    "failed": N_("Failed"),
    "cancelled": N_("Cancelled"),
    "refunded": N_("Refunded"),
    "partially_refunded": N_("Partially refunded"),
    "reversed": N_("Reversed"),
}


def status(name: str | None) -> str:
    """With a capital, because it stands alone."""
    if not name:
        return _("No status")
    return _(_STATUSES[name]) if name in _STATUSES else name[:1].upper() + name[1:].lower()
