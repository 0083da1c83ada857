"""What the columns of the files mean, in a sentence each: the field's own description, or what stands here."""

from regulars.dashboard.schemas import Row

_MEANINGS = {
    "customer_id": "The customer's number in Regulars; it never changes.",
    "customer_name": "The name at the first order. Empty after an erasure.",
    "phone_number": "The phone number with its country code, as text. Empty after an erasure.",
    "email": "The e-mail address, where one was given. Empty after an erasure.",
    "first_purchase_at": "When the first sale was ordered.",
    "last_purchase_at": "When the last sale was ordered.",
    "total_purchases": "Sales to the customer. Refunded, cancelled and unpaid orders don't count.",
    "total_spent": "What the customer's sales brought.",
    "total_profit": "What the shop added to the base price of these sales.",
    "average_order_value": "total_spent / total_purchases",
    "repeat_customer": "Whether the customer has bought twice or more.",
    "first_source_slug": "The link by which the first sale came.",
    "last_source_slug": "The link by which the last sale came.",
    "preferred_network": "The network that the customer has ordered most often.",
    "erased_at": "When the person was erased at their request.",
    "visits": "Openings of the link, bought or not. Who looks three times makes three.",
    "converted_visits": "Visits that ended in a sale.",
    "conversion_rate": "converted_visits / visits",
    "orders": "Orders, whatever became of them.",
    "sales": "Orders that are paid and pending, processing or completed.",
    "month": "First day of the calendar month.",
    "new_customers": "Customers whose first purchase fell in the month.",
    "returning_customers": "Customers who bought in the month, and whose first purchase was in an earlier one.",
    "active_customers": "Customers who bought in the month.",
    "net_amount": "What the sales brought, less refunds.",
    "last_touch_net_amount": "What the sales that came by the link itself brought.",
    "first_touch_net_amount": "What all sales to customers brought whose first purchase came by the link.",
    "cohort_month": "First day of the month in which these customers bought first.",
    "months_since": "Months after that month; 0 is the month itself.",
    "cohort_size": "Customers who first bought in the cohort's month.",
    "retention_rate": "active_customers / cohort_size",
}


def definition(model: type[Row], field: str) -> str:
    """Empty where nobody has written one, which a test finds."""
    return model.model_fields[field].description or _MEANINGS.get(field, "")
