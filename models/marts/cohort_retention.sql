{{ config(
    unique_key=['shop_id', 'cohort_month', 'months_since'],
    meta={'upstream': ['cohort_months', 'shop_days'], 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id', 'cohort_month', 'months_since'], 'unique': true}]
) }}

with

cohort_months as (
    select * from {{ ref('cohort_months') }}
    where {{ in_batch() }}
),

cohorts as (
    select
        shop_id,
        cohort_month,
        active_customers as cohort_size
    from cohort_months
    where cohort_month = order_month
),

-- Sales of known and unknown customers, as in monthly_acquisition, so that both end with the same
-- sale.
months_with_a_sale as (
    select distinct
        shop_id,
        {{ month_of('order_date') }} as month
    from {{ ref('shop_days') }}
    where
        sales > 0
        and {{ in_batch() }}
),

months as (
    {{ shop_months('months_with_a_sale') }}
),

-- A past month without a customer of the cohort is a true 0; a future month has no row.
months_come as (
    select
        cohorts.shop_id,
        cohorts.cohort_month,
        cohorts.cohort_size,
        months.month as order_month
    from cohorts
    inner join months
        on
            cohorts.shop_id = months.shop_id
            and cohorts.cohort_month <= months.month
)

select
    months_come.shop_id,
    months_come.cohort_month,
    {{ months_apart('months_come.cohort_month', 'months_come.order_month') }} as months_since,
    months_come.cohort_size,
    coalesce(cohort_months.active_customers, 0) as active_customers,
    round(
        1.0 * coalesce(cohort_months.active_customers, 0) / months_come.cohort_size, 4
    ) as retention_rate,
    coalesce(cohort_months.net_amount, 0) as net_amount
from months_come
left join cohort_months
    on
        months_come.shop_id = cohort_months.shop_id
        and months_come.cohort_month = cohort_months.cohort_month
        and months_come.order_month = cohort_months.order_month
