{{ config(
    unique_key=['shop_id', 'order_id'],
    meta={'entities': ['order'], 'keys': ['shop_id', 'order_id']},
    indexes=[
        {'columns': ['shop_id', 'order_id'], 'unique': true},
        {'columns': ['shop_id', 'shop_customer_id']},
    ]
) }}

with

orders as (
    select * from {{ ref('stg_orders') }}
    where {{ in_batch() }}
),

tracking as (
    select
        shop_id,
        order_id,
        shop_customer_id,
        slug,
        link,
        utm_source,
        utm_medium,
        utm_campaign,
        is_visit
    from {{ ref('stg_tracking') }}
    where order_id is not null
),

tracked as (
    select
        orders.order_id,
        orders.shop_id,
        tracking.shop_customer_id,
        orders.ordered_at,
        {{ day_in_shop('orders.ordered_at', 'orders.is_timed') }} as order_date,
        orders.order_status,
        orders.payment_status,
        orders.reference_code,
        orders.is_sale,
        orders.is_refunded,
        orders.total_price,
        orders.gross_amount,
        orders.refunded_amount,
        orders.net_amount,
        orders.profit_amount,
        orders.network,
        orders.volume_gb,
        tracking.slug,
        tracking.link,
        tracking.utm_source,
        tracking.utm_medium,
        tracking.utm_campaign,
        coalesce(tracking.is_visit, false) as has_visit
    from orders
    left join tracking
        on
            orders.shop_id = tracking.shop_id
            and orders.order_id = tracking.order_id
    left join {{ ref('shops') }} as shops on orders.shop_id = shops.shop_id
)

select
    *,
    {{ month_of('order_date') }} as order_month
from tracked
