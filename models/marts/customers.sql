{{ config(
    unique_key=['shop_id', 'shop_customer_id'],
    meta={'upstream': 'purchases', 'keys': ['shop_id', 'shop_customer_id']},
    indexes=[
        {'columns': ['shop_id', 'shop_customer_id'], 'unique': true},
        {'columns': ['shop_id', 'last_purchase_at', 'shop_customer_id']},
        {'columns': ['shop_id', 'last_purchase_date']},
        {'columns': ['shop_id', 'first_purchase_at', 'shop_customer_id']},
        {'columns': ['shop_id', 'total_spent', 'shop_customer_id']},
        {'columns': ['shop_id', 'total_purchases', 'shop_customer_id']},
    ]
) }}

with

purchases as (
    select * from {{ ref('purchases') }}
    where {{ in_batch() }}
),

-- Numbered backwards, so that the last purchase is number 1.
counted as (
    select
        *,
        row_number() over (
            partition by shop_id, shop_customer_id
            order by purchase_number desc
        ) as number_from_last
    from purchases
),

totals as (
    select
        shop_id,
        shop_customer_id,
        min(ordered_at) as first_purchase_at,
        max(ordered_at) as last_purchase_at,
        min(cohort_month) as first_purchase_month,
        min(first_purchase_date) as first_purchase_date,
        max(case when number_from_last = 1 then order_date end) as last_purchase_date,
        count(*) as total_purchases,
        sum(case when is_first_of_day then 1 else 0 end) as purchase_days,
        -- Exact: a median of whole days is a whole or a half.
        cast(
            percentile_cont(0.5) within group (order by gap_days) as {{ data_type('numeric') }}
        ) as median_gap_days,
        sum(net_amount) as total_spent,
        sum(profit_amount) as total_profit,
        max(case when purchase_number = 1 then slug end) as first_source_slug,
        max(case when number_from_last = 1 then slug end) as last_source_slug,
        max(case when number_from_last = 1 then main_network end) as preferred_network,
        max(number_with_network) as purchases_with_preferred_network,
        sum(case when network is not null then 1 else 0 end) as purchases_with_network,
        max(
            case when main_network is distinct from previous_main_network then order_date end
        ) as preferred_network_since
    from counted
    group by shop_id, shop_customer_id
),

customers as (
    select
        shop_customer_id,
        shop_id,
        first_purchase_at,
        last_purchase_at,
        first_purchase_month,
        first_purchase_date,
        last_purchase_date,
        total_purchases,
        purchase_days,
        median_gap_days,
        total_spent,
        total_profit,
        round(total_spent / total_purchases, 2) as average_order_value,
        total_purchases > 1 as repeat_customer,
        first_source_slug,
        last_source_slug,
        preferred_network,
        round(
            1.0 * purchases_with_preferred_network / nullif(purchases_with_network, 0), 4
        ) as preferred_network_share,
        preferred_network_since
    from totals
)

select * from customers
