{{ config(indexes=[{'columns': ['shop_id', 'cohort_month', 'months_since'], 'unique': true}]) }}

with

cohort_months as (
    select * from {{ ref('cohort_months') }}
),

cohorts as (
    select
        shop_id,
        cohort_month,
        active_customers as cohort_size
    from cohort_months
    where cohort_month = order_month
),

-- How far a shop's months have come: to its last sale, and never past today.
spans as (
    select
        shop_id,
        least(max(order_month), current_date) as last_month
    from cohort_months
    group by shop_id
),

-- A month that has come without any of the cohort is a true 0; one that has not come has no row.
months_come as (
    select
        cohorts.shop_id,
        cohorts.cohort_month,
        cast(series.month as date) as order_month
    from cohorts
    inner join spans on cohorts.shop_id = spans.shop_id
    cross join
        lateral {{ month_series('cohorts.cohort_month', 'spans.last_month') }} as series (month)
    union
    select
        shop_id,
        cohort_month,
        order_month
    from cohort_months
)

select
    months_come.shop_id,
    months_come.cohort_month,
    {{ months_apart('months_come.cohort_month', 'months_come.order_month') }} as months_since,
    cohorts.cohort_size,
    coalesce(cohort_months.active_customers, 0) as active_customers,
    round(
        1.0 * coalesce(cohort_months.active_customers, 0) / cohorts.cohort_size, 4
    ) as retention_rate,
    coalesce(cohort_months.net_amount, 0) as net_amount
from months_come
inner join cohorts
    on
        months_come.shop_id = cohorts.shop_id
        and months_come.cohort_month = cohorts.cohort_month
left join cohort_months
    on
        months_come.shop_id = cohort_months.shop_id
        and months_come.cohort_month = cohort_months.cohort_month
        and months_come.order_month = cohort_months.order_month
