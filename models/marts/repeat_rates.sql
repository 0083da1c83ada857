{{ config(
    unique_key=['shop_id', 'month'],
    meta={'upstream': ['cohort_months', 'shop_days'], 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id', 'month'], 'unique': true}]
) }}

with

-- Sales of known and unknown customers, as in monthly_acquisition.
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

counts as (
    select
        shop_id,
        order_month as month,
        cast(sum(active_customers) as bigint) as customers,
        cast(sum(repeat_customers) as bigint) as repeat_customers,
        cast(sum(two_purchase_customers) as bigint) as two_purchase_customers,
        cast(
            sum(case when order_month > cohort_month then active_customers else 0 end) as bigint
        ) as returning_customers,
        sum(
            case when order_month = cohort_month then active_customers else 0 end
        ) as new_customers,
        sum(second_purchases) as second_purchases
    from {{ ref('cohort_months') }}
    where {{ in_batch() }}
    group by shop_id, order_month
),

filled as (
    select
        months.shop_id,
        months.month,
        coalesce(counts.customers, 0) as customers,
        coalesce(counts.repeat_customers, 0) as repeat_customers,
        coalesce(counts.two_purchase_customers, 0) as two_purchase_customers,
        coalesce(counts.returning_customers, 0) as returning_customers,
        cast(coalesce(sum(counts.new_customers) over to_date, 0) as bigint) as customers_to_date,
        cast(
            coalesce(sum(counts.second_purchases) over to_date, 0) as bigint
        ) as repeat_customers_to_date
    from months
    left join counts
        on
            months.shop_id = counts.shop_id
            and months.month = counts.month
    window to_date as (
        partition by months.shop_id
        order by months.month
    )
)

select
    shop_id,
    month,
    customers,
    repeat_customers,
    -- Without customers a rate is NULL, not 0.
    round(1.0 * repeat_customers / nullif(customers, 0), 4) as repeat_rate,
    repeat_customers_to_date,
    customers_to_date,
    round(
        1.0 * repeat_customers_to_date / nullif(customers_to_date, 0), 4
    ) as lifetime_repeat_rate,
    two_purchase_customers,
    round(1.0 * two_purchase_customers / nullif(customers, 0), 4) as in_month_repeat_rate,
    returning_customers,
    round(1.0 * returning_customers / nullif(customers, 0), 4) as returning_share
from filled
