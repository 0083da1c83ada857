"""The nine cards: their titles, and what each number means; the models' descriptions say the same."""

from dataclasses import dataclass
from typing import Literal

_SALE = (
    "A sale is an order that is paid and is pending, processing or completed; one that was refunded, reversed or "
    "cancelled, or that failed, is none."
)
_KNOWN = "A customer is one phone number of this shop, however it is spelt, with at least one sale."


@dataclass(frozen=True, slots=True)
class Card:
    """`name` is the column of shop_overview; `month` the monthly figure that says how it moves, if there is one."""

    name: str
    title: str
    kind: Literal["money", "count", "percentage"]
    meaning: str
    window: str
    month: str | None = None


EARNINGS = (
    Card(
        "available_balance", "Available balance", "money",
        "Profit that was credited, less the withdrawals that are approved, processing or completed. It is never "
        "less than 0. A withdrawal that is still pending is not taken off.",
        "From the first day until the last refresh.",
    ),
    Card(
        "total_profit", "Total profit", "money",
        f"What the shop has added to the base price, over all its sales. {_SALE}",
        "From the first day until the last refresh.",
    ),
    Card(
        "total_orders", "Sales", "count",
        f"The number of sales, those without a readable phone too. {_SALE}",
        "From the first day until the last refresh.", "sales",
    ),
    Card(
        "pending_withdrawals", "Pending withdrawals", "count",
        "The number of withdrawals that were asked for and that nobody has approved or rejected yet.",
        "As it stood at the last refresh.",
    ),
)  # fmt: skip

CUSTOMERS = (
    Card(
        "total_customers", "Customers", "count",
        _KNOWN,
        "From the first day until the last refresh.", "new_customers",
    ),
    Card(
        "repeat_customers", "Repeat customers", "count",
        f"Customers with two sales or more, be it on the same day. {_KNOWN}",
        "From the first day until the last refresh.",
    ),
    Card(
        "repeat_percentage", "Repeat rate", "percentage",
        "Repeat customers of a hundred customers. Without a customer there is no rate.",
        "From the first day until the last refresh.",
    ),
    Card(
        "average_ltv", "Average lifetime value", "money",
        "Customer revenue divided by customers: what one customer has brought so far, refunds taken off. Without a "
        "customer there is no average.",
        "From the first day until the last refresh.",
    ),
    Card(
        "customer_revenue", "Customer revenue", "money",
        f"What all sales to known customers add up to, refunds taken off. {_SALE}",
        "From the first day until the last refresh.",
    ),
)  # fmt: skip

MONTHLY = (
    ("new_customers", "New customers", "count"),
    ("returning_customers", "Returning customers", "count"),
    ("active_customers", "Active customers", "count"),
    ("sales", "Sales", "count"),
    ("net_amount", "Revenue", "money"),
)
