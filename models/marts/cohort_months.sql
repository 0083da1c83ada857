{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'cohort_month', 'order_month'],
    indexes=[{'columns': ['shop_id', 'cohort_month', 'order_month'], 'unique': true}]
) }}

with

purchases as (
    select * from {{ signed_rows(ref('purchases')) }}
)

select
    shop_id,
    cohort_month,
    order_month,
    sum(case when is_first_of_month then weight else 0 end) as active_customers,
    sum(case when is_return_of_month then weight else 0 end) as repeat_customers,
    sum(case when purchase_number = 2 then weight else 0 end) as second_purchases,
    sum(weight) as sales,
    sum(weight * net_amount) as net_amount
from purchases
group by shop_id, cohort_month, order_month
