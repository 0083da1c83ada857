{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'order_date'],
    indexes=[{'columns': ['shop_id', 'order_date'], 'unique': true}]
) }}

with

orders as (
    select * from {{ signed_rows(ref('orders')) }}
),

purchases as (
    select * from {{ signed_rows(ref('purchases')) }}
),

summands as (
    select
        shop_id,
        order_date,
        weight as orders,
        case when is_sale then weight else 0 end as sales,
        0 as customers,
        case when shop_customer_id is null then weight else 0 end as unmatched_orders,
        case when slug is not null or has_visit then weight else 0 end as tracked_orders,
        weight * gross_amount as gross_amount,
        weight * refunded_amount as refunded_amount,
        weight * net_amount as net_amount,
        weight * profit_amount as profit_amount
    from orders
    union all
    select
        shop_id,
        order_date,
        0 as orders,
        0 as sales,
        case when is_first_of_day then weight else 0 end as customers,
        0 as unmatched_orders,
        0 as tracked_orders,
        0 as gross_amount,
        0 as refunded_amount,
        0 as net_amount,
        0 as profit_amount
    from purchases
)

select
    shop_id,
    order_date,
    sum(orders) as orders,
    sum(sales) as sales,
    sum(customers) as customers,
    sum(unmatched_orders) as unmatched_orders,
    sum(tracked_orders) as tracked_orders,
    sum(gross_amount) as gross_amount,
    sum(refunded_amount) as refunded_amount,
    sum(net_amount) as net_amount,
    sum(profit_amount) as profit_amount
from summands
group by shop_id, order_date
