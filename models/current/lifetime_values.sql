with

{% set amounts = ['gross_amount', 'refunded_amount', 'net_amount', 'profit_amount'] -%}

cohorts as (
    select
        shop_id,
        cohort_month,
        months_since,
        cohort_size as customers,
        {{ months_later('cohort_month', 'months_since') }} as month
    from {{ ref('cohort_retention') }}
),

months as (
    select
        cohorts.shop_id,
        cohorts.cohort_month,
        cohorts.months_since,
        -- The first day after the month: it is over for the whole cohort.
        {{ months_later('cohorts.month', 1) }} as matures_on,
        cohorts.customers,
        coalesce(cohort_months.sales, 0) as purchases,
        coalesce(cohort_months.net_amount + cohort_months.refunded_amount, 0) as gross_amount,
        coalesce(cohort_months.refunded_amount, 0) as refunded_amount,
        coalesce(cohort_months.net_amount, 0) as net_amount,
        coalesce(cohort_months.profit_amount, 0) as profit_amount
    from cohorts
    left join {{ ref('cohort_months') }} as cohort_months
        on
            cohorts.shop_id = cohort_months.shop_id
            and cohorts.cohort_month = cohort_months.cohort_month
            and cohorts.month = cohort_months.order_month
),

cumulative as (
    select
        *,
        {% for amount in amounts -%}
            sum({{ amount }}) over to_date as {{ amount }}_to_date,
        {% endfor -%}
        cast(sum(purchases) over to_date as bigint) as purchases_to_date
    from months
    window to_date as (
        partition by shop_id, cohort_month
        order by months_since
    )
),

judged as (
    select
        cumulative.*,
        {{ shop_today('shops.time_zone') }} >= cumulative.matures_on as is_mature
    from cumulative
    inner join {{ ref('shops') }} as shops on cumulative.shop_id = shops.shop_id
)

select
    shop_id,
    cohort_month,
    months_since,
    matures_on,
    is_mature,
    customers,
    purchases,
    gross_amount,
    refunded_amount,
    net_amount,
    profit_amount,
    purchases_to_date,
    gross_amount_to_date,
    refunded_amount_to_date,
    net_amount_to_date,
    profit_amount_to_date,
    case when is_mature then round(1.0 * purchases_to_date / customers, 2) end
        as purchases_per_customer,
    case when is_mature then round(net_amount_to_date / customers, 2) end as net_per_customer,
    case when is_mature then round(profit_amount_to_date / customers, 2) end as profit_per_customer
from judged
