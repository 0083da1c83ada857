{{ config(
    unique_key=['shop_id', 'month'],
    meta={'upstream': 'cohort_months', 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id', 'month'], 'unique': true}]
) }}

with

actives as (
    select
        shop_id,
        order_month as month,
        sum(active_customers) as active_customers,
        sum(
            case when order_month = cohort_month then active_customers else 0 end
        ) as new_customers,
        sum(retained_customers) as retained_customers
    from {{ ref('cohort_months') }}
    where
        active_customers > 0
        and {{ in_batch() }}
    group by shop_id, order_month
),

-- Without a gap, however long the shop paused: a month's lapsed customers are those of the month
-- before. At most a century, because of orders with a date in the year 1.
months as (
    {{ shop_months('actives', longest_pause=1200) }}
),

filled as (
    select
        months.shop_id,
        months.month,
        cast(coalesce(actives.active_customers, 0) as bigint) as active_customers,
        cast(coalesce(actives.new_customers, 0) as bigint) as new_customers,
        cast(coalesce(actives.retained_customers, 0) as bigint) as retained_customers
    from months
    left join actives
        on
            months.shop_id = actives.shop_id
            and months.month = actives.month
)

select
    shop_id,
    month,
    active_customers,
    new_customers,
    retained_customers,
    active_customers - new_customers - retained_customers as reactivated_customers,
    coalesce(lag(active_customers) over (
        partition by shop_id
        order by month
    ), 0) - retained_customers as lapsed_customers
from filled
