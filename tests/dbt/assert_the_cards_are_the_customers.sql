-- Fails for a shop whose cards of customers, repeat customers, revenue or lifetime value are not
-- what its customers, counted one by one, come to: the cards are added up by another way.
-- Not a failure: a shop without a customer, whose average is unknown rather than 0.
-- An audit: it reads every customer there is, so no nightly refresh runs it.
{{ config(tags=['audit']) }}

with

cards as (
    select
        shop_id,
        total_customers,
        repeat_customers,
        customer_revenue,
        average_ltv
    from {{ ref('shop_overview') }}
),

customers as (
    select
        shop_id,
        count(*) as total_customers,
        sum(case when repeat_customer then 1 else 0 end) as repeat_customers,
        sum(total_spent) as customer_revenue,
        round(sum(total_spent) / count(*), 2) as average_ltv
    from {{ ref('customers') }}
    group by shop_id
)

select
    cards.shop_id,
    cards.total_customers,
    cards.repeat_customers,
    cards.customer_revenue,
    cards.average_ltv
from cards
left join customers on cards.shop_id = customers.shop_id
where
    cards.total_customers <> coalesce(customers.total_customers, 0)
    or cards.repeat_customers <> coalesce(customers.repeat_customers, 0)
    or cards.customer_revenue <> coalesce(customers.customer_revenue, 0)
    or cards.average_ltv is distinct from customers.average_ltv
