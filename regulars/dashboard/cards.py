"""The nine cards: the label and the meaning of each number of `shop_overview`, for pages, API and demo."""

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
    """`name` is the column of `shop_overview`; `month` is the monthly figure that shows how it moves, if any."""

    name: str
    label: str
    kind: Literal["money", "count", "percentage"]
    meaning: str
    window: str
    month: str | None = None


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
        _SO_FAR, "sales",
    ),
    Card(
        "pending_withdrawals", "Pending withdrawals", "count",
        "The number of withdrawal requests that have been neither approved nor rejected.",
        "As of the last refresh.",
    ),
)  # fmt: skip

CUSTOMERS = (
    Card("total_customers", "Total customers", "count", _CUSTOMER, _SO_FAR, "new_customers"),
    Card(
        "repeat_customers", "Repeat customers", "count",
        f"Customers with two sales or more, even on the same day. {_CUSTOMER}",
        _SO_FAR,
    ),
    Card(
        "repeat_percentage", "Repeat percentage", "percentage",
        "Repeat customers as a percentage of all customers. Without customers it is unknown, not 0.",
        _SO_FAR,
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
    ("new_customers", "New customers", "count"),
    ("returning_customers", "Returning customers", "count"),
    ("active_customers", "Active customers", "count"),
    ("sales", "Sales", "count"),
    ("net_amount", "Revenue", "money"),
)
