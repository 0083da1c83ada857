"""The nine cards: the label and the meaning of each number, for pages, API and demo."""

from dataclasses import dataclass
from typing import Literal

from regulars.dashboard.language.catalogue import N_, gettext

_SALE = (
    N_("A sale is an order that is paid and pending, processing or completed."),
    N_("An order that was refunded, reversed or cancelled, or that failed, is not a sale."),
)
_CUSTOMER = N_("A customer is one phone number at this shop, however it is spelt, with at least one sale.")
_SO_FAR = N_("From the first day until the last refresh.")


@dataclass(frozen=True, slots=True)
class Card:
    """`name` is the field of `schemas.Overview`; texts are in English, for `gettext`.

    `share` is the column of `shop_overview` that is shown beside it, a percentage; it may be missing.
    """

    name: str
    label: str
    kind: Literal["money", "count"]
    sentences: tuple[str, ...]
    window: str
    share: str | None = None

    @property
    def meaning(self) -> str:
        """In the language of the request; in English outside of one."""
        return " ".join(gettext(sentence) for sentence in self.sentences)


EARNINGS = (
    Card(
        "available_balance", N_("Available balance"), "money",
        (
            N_(
                "Credited profit less the withdrawals that are approved, processing or completed, and never less than "
                "0."
            ),
            N_("Pending withdrawals are not subtracted."),
        ),
        _SO_FAR,
    ),
    Card(
        "total_profit", N_("Total profit"), "money",
        (N_("What the shop has added to the base price, over all its sales."), *_SALE),
        _SO_FAR,
    ),
    Card(
        "total_orders", N_("Total orders"), "count",
        (N_("The number of sales, including sales without a readable phone number."), *_SALE),
        _SO_FAR,
    ),
    Card(
        "pending_withdrawals", N_("Pending withdrawals"), "count",
        (N_("The number of withdrawal requests that have been neither approved nor rejected."),),
        N_("As of the last refresh."),
    ),
)  # fmt: skip

CUSTOMERS = (
    Card("total_customers", N_("Total customers"), "count", (_CUSTOMER,), _SO_FAR),
    Card(
        "repeat_customers", N_("Repeat customers"), "count",
        (
            N_(
                "Customers with two sales or more, even on the same day; beside it, their percentage of all customers."
            ),
            N_("Without customers the percentage is unknown, not 0."),
            _CUSTOMER,
        ),
        _SO_FAR, share="repeat_percentage",
    ),
    Card(
        "new_customers_month", N_("New this month"), "count",
        (
            N_("Customers whose first purchase is in the current month."),
            N_("The count starts anew on the 1st, before any refresh."),
        ),
        N_("The current calendar month so far."),
    ),
    Card(
        "average_ltv", N_("Average LTV"), "money",
        (
            N_(
                "Customer revenue divided by the number of customers: what the average customer has brought so far "
                "(lifetime value), less refunds."
            ),
            N_("Without customers it is unknown, not 0."),
        ),
        _SO_FAR,
    ),
    Card(
        "customer_revenue", N_("Customer revenue"), "money",
        (N_("The total of all sales to known customers, less refunds."), *_SALE),
        _SO_FAR,
    ),
)  # fmt: skip

CARDS = (*EARNINGS, *CUSTOMERS)

MONTHLY = (
    ("net_amount", N_("Revenue"), "money"),
    ("sales", N_("Sales"), "count"),
    ("new_customers", N_("New customers"), "count"),
    ("returning_customers", N_("Returning customers"), "count"),
    ("active_customers", N_("Customers who bought"), "count"),
)
"""What is counted by calendar month."""

DAILY = (
    ("net_amount", N_("Revenue"), "money"),
    ("profit_amount", N_("Your profit"), "money"),
    ("sales", N_("Sales"), "count"),
    ("new_customers", N_("New customers"), "count"),
)
"""What is counted by day, and so for any period."""
