{{ config(
    unique_key=['shop_id', 'order_id'],
    meta={'upstream': 'orders', 'keys': ['shop_id', 'shop_customer_id']},
    indexes=[
        {'columns': ['shop_id', 'order_id'], 'unique': true},
        {'columns': ['shop_id', 'shop_customer_id']},
    ]
) }}

with

refunded_orders as (
    select * from {{ ref('orders') }}
    where
        is_refunded
        and shop_customer_id is not null
        and {{ in_batch() }}
),

-- The batch's condition follows from the join. Written twice, it makes the planner expect a single
-- row, and read the whole batch again for each.
first_purchases as (
    select * from {{ ref('purchases') }}
    where purchase_number = 1
)

-- A refunded order from before the customer's first purchase counts on the day of that purchase.
select
    refunded_orders.order_id,
    refunded_orders.shop_id,
    refunded_orders.shop_customer_id,
    first_purchases.cohort_month,
    first_purchases.first_purchase_date,
    greatest(refunded_orders.order_date, first_purchases.first_purchase_date) as order_date,
    greatest(refunded_orders.order_month, first_purchases.cohort_month) as order_month,
    refunded_orders.refunded_amount
from refunded_orders
inner join first_purchases
    on
        refunded_orders.shop_id = first_purchases.shop_id
        and refunded_orders.shop_customer_id = first_purchases.shop_customer_id
