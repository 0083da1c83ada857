"""The nine cards: the label and the meaning of each number, for pages, API and demo."""

from dataclasses import dataclass
from typing import Literal

_SALE = (
    "A sale is an order that is paid and pending, processing or completed. An order that was refunded, reversed or "
    "cancelled, or that failed, is not a sale."
)
_CUSTOMER = "A customer is one phone number at this shop, however it is spelt, with at least one sale."
_SO_FAR = "From the first day until the last refresh."


@dataclass(frozen=True, slots=True)
class Card:
    """`name` is the field of `schemas.Overview`.

    `share` is the column of `shop_overview` that is shown beside it, a percentage; it may be missing.
    """

    name: str
    label: str
    kind: Literal["money", "count"]
    meaning: str
    window: str
    share: str | None = None


EARNINGS = (
    Card(
        "available_balance", "Available balance", "money",
        "Credited profit less the withdrawals that are approved, processing or completed, and never less than 0. "
        "Pending withdrawals are not subtracted.",
        _SO_FAR,
    ),
    Card(
        "total_profit", "Total profit", "money",
        f"What the shop has added to the base price, over all its sales. {_SALE}",
        _SO_FAR,
    ),
    Card(
        "total_orders", "Total orders", "count",
        f"The number of sales, including sales without a readable phone number. {_SALE}",
        _SO_FAR,
    ),
    Card(
        "pending_withdrawals", "Pending withdrawals", "count",
        "The number of withdrawal requests that have been neither approved nor rejected.",
        "As of the last refresh.",
    ),
)  # fmt: skip

CUSTOMERS = (
    Card("total_customers", "Total customers", "count", _CUSTOMER, _SO_FAR),
    Card(
        "repeat_customers", "Repeat customers", "count",
        "Customers with two sales or more, even on the same day; beside it, their percentage of all customers. Without "
        f"customers the percentage is unknown, not 0. {_CUSTOMER}",
        _SO_FAR, share="repeat_percentage",
    ),
    Card(
        "new_customers_month", "New this month", "count",
        "Customers whose first purchase is in the current month. The count starts anew on the 1st, before any refresh.",
        "The current calendar month so far.",
    ),
    Card(
        "average_ltv", "Average LTV", "money",
        "Customer revenue divided by the number of customers: what the average customer has brought so far (lifetime "
        "value), less refunds. Without customers it is unknown, not 0.",
        _SO_FAR,
    ),
    Card(
        "customer_revenue", "Customer revenue", "money",
        f"The total of all sales to known customers, less refunds. {_SALE}",
        _SO_FAR,
    ),
)  # fmt: skip

CARDS = (*EARNINGS, *CUSTOMERS)

MONTHLY = (
    ("net_amount", "Revenue", "money"),
    ("sales", "Sales", "count"),
    ("new_customers", "New customers", "count"),
    ("returning_customers", "Returning customers", "count"),
    ("active_customers", "Customers who bought", "count"),
)
"""What is counted by calendar month."""

DAILY = (
    ("net_amount", "Revenue", "money"),
    ("profit_amount", "Your profit", "money"),
    ("sales", "Sales", "count"),
    ("new_customers", "New customers", "count"),
)
"""What is counted by day, and so for any period."""
