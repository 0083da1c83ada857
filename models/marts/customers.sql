{{ config(
    unique_key=['shop_id', 'shop_customer_id'],
    meta={'upstream': 'purchases', 'keys': ['shop_id', 'shop_customer_id']},
    indexes=[
        {'columns': ['shop_id', 'shop_customer_id'], 'unique': true},
        {'columns': ['shop_id', 'last_purchase_at', 'shop_customer_id']},
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

-- The last purchase has the highest number: read from this end, first and last are both a plain 1.
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
        count(*) as total_purchases,
        sum(net_amount) as total_spent,
        sum(profit_amount) as total_profit,
        max(case when purchase_number = 1 then slug end) as first_source_slug,
        max(case when number_from_last = 1 then slug end) as last_source_slug
    from counted
    group by shop_id, shop_customer_id
),

networks as (
    select
        shop_id,
        shop_customer_id,
        network,
        row_number() over (
            partition by shop_id, shop_customer_id
            order by count(*) desc, max(purchase_number) desc
        ) as preference
    from purchases
    where network is not null
    group by shop_id, shop_customer_id, network
),

customers as (
    select
        totals.shop_customer_id,
        totals.shop_id,
        totals.first_purchase_at,
        totals.last_purchase_at,
        totals.first_purchase_month,
        totals.total_purchases,
        totals.total_spent,
        totals.total_profit,
        round(totals.total_spent / totals.total_purchases, 2) as average_order_value,
        totals.total_purchases > 1 as repeat_customer,
        totals.first_source_slug,
        totals.last_source_slug,
        networks.network as preferred_network
    from totals
    left join networks
        on
            totals.shop_id = networks.shop_id
            and totals.shop_customer_id = networks.shop_customer_id
            and networks.preference = 1
)

select * from customers
