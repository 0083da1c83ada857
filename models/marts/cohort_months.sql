{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'cohort_month', 'order_month'],
    indexes=[{'columns': ['shop_id', 'cohort_month', 'order_month'], 'unique': true}]
) }}

with

purchases as (
    select * from {{ signed_rows(ref('purchases')) }}
),

refunds as (
    select * from {{ signed_rows(ref('refunds')) }}
),

summands as (
    select
        shop_id,
        cohort_month,
        order_month,
        case when is_first_of_month then weight else 0 end as active_customers,
        case when is_return_of_month then weight else 0 end as repeat_customers,
        case
            when
                is_first_of_month
                and previous_purchase_month = {{ months_later('order_month', -1) }}
                then weight
            else 0
        end as retained_customers,
        case when is_second_of_month then weight else 0 end as two_purchase_customers,
        case when purchase_number = 2 then weight else 0 end as second_purchases,
        weight as sales,
        weight * net_amount as net_amount,
        weight * profit_amount as profit_amount,
        0 as refunded_orders,
        0 as refunded_amount
    from purchases
    union all
    select
        shop_id,
        cohort_month,
        order_month,
        0 as active_customers,
        0 as repeat_customers,
        0 as retained_customers,
        0 as two_purchase_customers,
        0 as second_purchases,
        0 as sales,
        0 as net_amount,
        0 as profit_amount,
        weight as refunded_orders,
        weight * refunded_amount as refunded_amount
    from refunds
)

select
    shop_id,
    cohort_month,
    order_month,
    sum(active_customers) as active_customers,
    sum(repeat_customers) as repeat_customers,
    sum(retained_customers) as retained_customers,
    sum(two_purchase_customers) as two_purchase_customers,
    sum(second_purchases) as second_purchases,
    sum(sales) as sales,
    sum(net_amount) as net_amount,
    sum(profit_amount) as profit_amount,
    sum(refunded_orders) as refunded_orders,
    sum(refunded_amount) as refunded_amount
from summands
group by shop_id, cohort_month, order_month
