{{ config(
    unique_key=['shop_id', 'month'],
    meta={'upstream': ['cohort_months', 'shop_days'], 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id', 'month'], 'unique': true}]
) }}

with

sales as (
    select
        shop_id,
        {{ month_of('order_date') }} as month,
        cast(sum(sales) as bigint) as sales,
        sum(net_amount) as net_amount
    from {{ ref('shop_days') }}
    where
        sales > 0
        and {{ in_batch() }}
    group by shop_id, {{ month_of('order_date') }}
),

actives as (
    select
        shop_id,
        order_month as month,
        cast(
            sum(case when order_month = cohort_month then active_customers else 0 end) as bigint
        ) as new_customers,
        cast(
            sum(case when order_month > cohort_month then active_customers else 0 end) as bigint
        ) as returning_customers,
        cast(sum(active_customers) as bigint) as active_customers
    from {{ ref('cohort_months') }}
    where {{ in_batch() }}
    group by shop_id, order_month
),

months as (
    {{ shop_months('sales') }}
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
