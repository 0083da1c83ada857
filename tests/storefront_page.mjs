// Expressions like those of the storefront's own dashboard pages, over the API's responses on stdin. What a page shows
// is printed as JSON. A field that is missing, or of another type, throws or shows `undefined` or `NaN`.
import { readFileSync } from "node:fs";

const { analytics, list, histories } = JSON.parse(readFileSync(0, "utf8"));

const money = (amount) => `GHS ${amount.toFixed(2)}`;
const day = (moment) => new Date(moment).toISOString().slice(0, 10);
const initials = (name) => name.split(" ").map((word) => word[0]).join("").toUpperCase();

const cards = [
  money(analytics.available_balance),
  money(analytics.total_profit),
  `${analytics.total_orders}`,
  `${analytics.pending_withdrawals}`,
  `${analytics.total_customers}`,
  `${analytics.repeat_customers} (${analytics.repeat_percentage.toFixed(1)}%)`,
  `${analytics.new_customers_month}`,
  money(analytics.average_ltv),
  money(analytics.total_revenue),
];

const customerRow = (customer) => [
  customer.id.toString(),
  initials(customer.customer_name ?? "Unknown"),
  customer.customer_name || "Unknown",
  customer.phone_number ? `…${customer.phone_number.slice(-4)}` : "—",
  customer.email?.toLowerCase() ?? "—",
  `${customer.total_purchases} ${customer.total_purchases === 1 ? "order" : "orders"}`,
  money(customer.total_spent),
  customer.repeat_customer ? "Repeat" : "New",
  customer.first_source_slug || "Direct",
  day(customer.first_purchase_at),
  day(customer.last_purchase_at),
];

const orderRow = (order) => [
  order.id.toString(),
  order.reference_code?.toUpperCase() ?? "—",
  `${order.network ?? "—"} ${order.volume_gb ?? "?"}GB`,
  money(order.total_price),
  order.order_status.charAt(0).toUpperCase() + order.order_status.slice(1),
  order.payment_status === "completed" ? "Paid" : "Not paid",
  day(order.created_at),
];

console.log(
  JSON.stringify({
    cards,
    customers: list.customers.map(customerRow),
    repeat: list.customers.filter((customer) => customer.repeat_customer).length,
    spent: money(list.customers.reduce((sum, customer) => sum + customer.total_spent, 0)),
    pages: Math.ceil(list.total / list.limit),
    histories: histories.map((history) => [customerRow(history.customer), history.orders.map(orderRow)]),
  }),
);
