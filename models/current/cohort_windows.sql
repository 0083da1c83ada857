with

{% set windows = [30, 60, 90, 180, 365] -%}

cohorts as (
    select
        shop_id,
        {{ month_of('first_purchase_date') }} as cohort_month,
        {% for days in windows -%}
            cast(sum(repurchased_{{ days }}) as bigint) as repurchased_{{ days }},
            cast(sum(purchases_{{ days }}) as bigint) as purchases_{{ days }},
            sum(refunded_amount_{{ days }}) as refunded_amount_{{ days }},
            sum(net_amount_{{ days }}) as net_amount_{{ days }},
            sum(profit_amount_{{ days }}) as profit_amount_{{ days }},
        {% endfor -%}
        max(first_purchase_date) as last_first_purchase_date,
        cast(sum(customers) as bigint) as customers
    from {{ ref('cohort_days') }}
    group by shop_id, {{ month_of('first_purchase_date') }}
),

windows as (
    {% for days in windows -%}
        select
            shop_id,
            cohort_month,
            {{ days }} as window_days,
            -- The first day on which days 0 to n are over for all of them.
            last_first_purchase_date + {{ days + 1 }} as matures_on,
            customers,
            repurchased_{{ days }} as repeat_customers,
            purchases_{{ days }} as purchases,
            net_amount_{{ days }} + refunded_amount_{{ days }} as gross_amount,
            refunded_amount_{{ days }} as refunded_amount,
            net_amount_{{ days }} as net_amount,
            profit_amount_{{ days }} as profit_amount
        from cohorts
        {% if not loop.last -%}
            union all
        {% endif -%}
    {% endfor -%}
),

judged as (
    select
        windows.*,
        {{ shop_today('shops.time_zone') }} >= windows.matures_on as is_mature
    from windows
    inner join {{ ref('shops') }} as shops on windows.shop_id = shops.shop_id
)

select
    shop_id,
    cohort_month,
    window_days,
    matures_on,
    is_mature,
    customers,
    repeat_customers,
    case when is_mature then round(1.0 * repeat_customers / customers, 4) end as repurchase_rate,
    purchases,
    gross_amount,
    refunded_amount,
    net_amount,
    profit_amount,
    case when is_mature then round(net_amount / customers, 2) end as net_per_customer,
    case when is_mature then round(profit_amount / customers, 2) end as profit_per_customer
from judged
