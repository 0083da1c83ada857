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
    where {{ only_changed() }}
),

visits as (
    select
        shop_id,
        order_id,
        slug
    from {{ ref('stg_visits') }}
    where order_id is not null
),

orders_with_their_visit as (
    select
        orders.order_id,
        orders.shop_id,
        orders.shop_customer_id,
        orders.ordered_at,
        orders.order_date,
        orders.order_month,
        orders.order_status,
        orders.payment_status,
        orders.is_sale,
        orders.gross_amount,
        orders.refunded_amount,
        orders.net_amount,
        orders.profit_amount,
        orders.network,
        orders.volume_gb,
        visits.slug,
        visits.order_id is not null as has_visit
    from orders
    left join visits
        on
            orders.shop_id = visits.shop_id
            and orders.order_id = visits.order_id
)

select * from orders_with_their_visit
