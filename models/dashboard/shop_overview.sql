{{ config(indexes=[{'columns': ['shop_id'], 'unique': true}]) }}

with

shops as (
    select * from {{ ref('shops') }}
),

sales as (
    select
        shop_id,
        cast(sum(sales) as bigint) as total_orders,
        sum(profit_amount) as total_profit
    from {{ ref('shop_days') }}
    group by shop_id
),

customers as (
    select
        shop_id,
        cast(
            sum(case when order_month = cohort_month then active_customers else 0 end) as bigint
        ) as total_customers,
        cast(sum(second_purchases) as bigint) as repeat_customers,
        sum(net_amount) as customer_revenue
    from {{ ref('cohort_months') }}
    group by shop_id
),

balances as (
    select * from {{ ref('shop_balances') }}
)

select
    shops.shop_id,
    shops.currency,
    shops.time_zone,
    greatest(coalesce(balances.credited_profit - balances.withdrawn, 0), 0) as available_balance,
    coalesce(sales.total_profit, 0) as total_profit,
    coalesce(sales.total_orders, 0) as total_orders,
    coalesce(balances.pending_withdrawals, 0) as pending_withdrawals,
    coalesce(customers.total_customers, 0) as total_customers,
    coalesce(customers.repeat_customers, 0) as repeat_customers,
    -- Without customers a rate or an average is NULL, not 0.
    round(100.0 * customers.repeat_customers / customers.total_customers, 1) as repeat_percentage,
    round(customers.customer_revenue / customers.total_customers, 2) as average_ltv,
    coalesce(customers.customer_revenue, 0) as customer_revenue,
    {{ current_moment() }} as refreshed_at
from shops
left join sales on shops.shop_id = sales.shop_id
left join customers on shops.shop_id = customers.shop_id
left join balances on shops.shop_id = balances.shop_id
