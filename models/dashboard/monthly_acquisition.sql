{{ config(indexes=[{'columns': ['shop_id', 'month'], 'unique': true}]) }}

with

sales as (
    select
        shop_id,
        {{ month_of('order_date') }} as month,
        sum(sales) as sales,
        sum(net_amount) as net_amount
    from {{ ref('shop_days') }}
    where sales > 0
    group by shop_id, {{ month_of('order_date') }}
),

actives as (
    select
        shop_id,
        order_month as month,
        sum(case when order_month = cohort_month then active_customers else 0 end) as new_customers,
        sum(
            case when order_month > cohort_month then active_customers else 0 end
        ) as returning_customers,
        sum(active_customers) as active_customers
    from {{ ref('cohort_months') }}
    group by shop_id, order_month
),

-- A month without a sale between two with some is a month all the same. Nothing is filled in past
-- today, so that one order dated far ahead doesn't bring a thousand years of empty months.
spans as (
    select
        shop_id,
        min(month) as first_month,
        least(max(month), current_date) as last_month
    from sales
    group by shop_id
),

months as (
    select
        spans.shop_id,
        cast(series.month as date) as month
    from spans
    cross join lateral {{ month_series('spans.first_month', 'spans.last_month') }} as series (month)
    union
    select
        shop_id,
        month
    from sales
)

select
    months.shop_id,
    months.month,
    coalesce(actives.new_customers, 0) as new_customers,
    coalesce(actives.returning_customers, 0) as returning_customers,
    coalesce(actives.active_customers, 0) as active_customers,
    coalesce(sales.sales, 0) as sales,
    coalesce(sales.net_amount, 0) as net_amount
from months
left join sales
    on
        months.shop_id = sales.shop_id
        and months.month = sales.month
left join actives
    on
        months.shop_id = actives.shop_id
        and months.month = actives.month
