{{ config(indexes=[{'columns': ['shop_id', 'month'], 'unique': true}]) }}

with

months as (
    select
        shop_id,
        order_month as month,
        cast(sum(active_customers) as bigint) as customers,
        cast(sum(repeat_customers) as bigint) as repeat_customers
    from {{ ref('cohort_months') }}
    group by shop_id, order_month
)

select
    shop_id,
    month,
    customers,
    repeat_customers,
    round(1.0 * repeat_customers / customers, 4) as repeat_rate
from months
