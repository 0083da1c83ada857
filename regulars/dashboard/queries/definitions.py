"""The names and meanings of the files' columns: the field's own description, or the one here.

Columns have the API's names in English and in CSV files, which programs read; a French workbook has French headings.
"""

from regulars.dashboard.language.catalogue import N_, gettext
from regulars.dashboard.schemas import Row

_COLUMNS = (
    N_("customer_id"), N_("customer_name"), N_("phone_number"), N_("email"), N_("first_purchase_at"),
    N_("last_purchase_at"), N_("total_purchases"), N_("total_spent"), N_("total_profit"), N_("average_order_value"),
    N_("repeat_customer"), N_("first_source_slug"), N_("last_source_slug"), N_("preferred_network"), N_("erased_at"),
    N_("link"), N_("visits"), N_("converted_visits"), N_("conversion_rate"), N_("orders"), N_("sales"),
    N_("new_customers"), N_("came_back_customers"), N_("came_back_rate"), N_("brought_net_amount"),
    N_("net_per_customer"), N_("last_touch_net_amount"), N_("first_touch_net_amount"), N_("month"),
    N_("returning_customers"), N_("active_customers"), N_("net_amount"), N_("cohort_month"), N_("months_since"),
    N_("cohort_size"), N_("retention_rate"),
)  # fmt: skip
"""For the catalogue: every column of a file."""

_MEANINGS = {
    "customer_id": N_("The customer's number in Regulars; it never changes."),
    "customer_name": N_("The name at the first order. Empty after an erasure."),
    "phone_number": N_("The phone number with its country code, as text. Empty after an erasure."),
    "email": N_("The e-mail address, where one was given. Empty after an erasure."),
    "first_purchase_at": N_("When the first sale was ordered."),
    "last_purchase_at": N_("When the last sale was ordered."),
    "total_purchases": N_("Sales to the customer. Refunded, cancelled and unpaid orders don't count."),
    "total_spent": N_("What the customer's sales brought."),
    "total_profit": N_("What the shop added to the base price of these sales."),
    "average_order_value": N_("total_spent / total_purchases"),
    "repeat_customer": N_("Whether the customer has bought twice or more."),
    "first_source_slug": N_("The link by which the first sale came."),
    "last_source_slug": N_("The link by which the last sale came."),
    "preferred_network": N_("The network that the customer has ordered most often."),
    "erased_at": N_("When the person was erased at their request."),
    "visits": N_("Openings of the link, bought or not. Who looks three times makes three."),
    "converted_visits": N_("Visits that ended in a sale."),
    "conversion_rate": N_("converted_visits / visits"),
    "orders": N_("Orders of any status."),
    "sales": N_("Orders that are paid and pending, processing or completed."),
    "month": N_("First day of the calendar month."),
    "new_customers": N_("Customers whose first purchase fell in the month."),
    "returning_customers": N_("Customers who bought in the month, and whose first purchase was in an earlier one."),
    "active_customers": N_("Customers who bought in the month."),
    "net_amount": N_("What the sales brought, less refunds."),
    "last_touch_net_amount": N_("What the sales that came by the link itself brought."),
    "first_touch_net_amount": N_("What all sales to customers brought whose first purchase came by the link."),
    "cohort_month": N_("First day of the month in which these customers bought first."),
    "months_since": N_("Months after that month; 0 is the month itself."),
    "cohort_size": N_("Customers who first bought in the cohort's month."),
    "retention_rate": N_("active_customers / cohort_size"),
}


def heading(field: str) -> str:
    """The heading of a workbook's column."""
    return gettext(field)


def definition(model: type[Row], field: str) -> str:
    """In the language of the request. Empty where nobody has written one, which a test finds."""
    found = model.model_fields[field].description or _MEANINGS.get(field, "")
    return gettext(found) if found else ""
