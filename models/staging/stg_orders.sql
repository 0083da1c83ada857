with

source as (
    select * from {{ source('storefront', 'shop_orders') }}
    where shop_id is not null
),

shops as (
    select
        shop_id,
        time_zone
    from {{ ref('stg_shops') }}
),

renamed as (
    select
        source.id as order_id,
        source.shop_id,
        source.shop_customer_id,
        nullif(trim(cast(source.network as text)), '') as network,
        cast(source.volume_gb as numeric) as volume_gb,
        lower(trim(cast(source.order_status as text))) as order_status,
        lower(trim(cast(source.payment_status as text))) as payment_status,
        {{ money('source.total_price') }} as total_price,
        {{ money('source.profit_amount') }} as profit_amount,
        -- An order without any time is kept, where everybody will see that it is wrong.
        coalesce(
            {{ as_utc('source.created_at') }},
            {{ as_utc('source.updated_at') }},
            timestamptz '1970-01-01 00:00:00+00'
        ) as ordered_at,
        coalesce(shops.time_zone, 'UTC') as time_zone
    from source
    left join shops on source.shop_id = shops.shop_id
),

-- The status policy: every number of Regulars goes through these two columns and nowhere else.
judged as (
    select
        *,
        coalesce(
            payment_status = 'completed'
            and order_status in ('pending', 'processing', 'completed'),
            false
        ) as is_sale,
        coalesce(
            payment_status = 'completed' and order_status in ('refunded', 'reversed'), false
        ) as is_refunded
    from renamed
),

valued as (
    select
        order_id,
        shop_id,
        shop_customer_id,
        order_status,
        payment_status,
        network,
        volume_gb,
        is_sale,
        is_refunded,
        case when is_sale or is_refunded then total_price else 0 end as gross_amount,
        case when is_refunded then total_price else 0 end as refunded_amount,
        case when is_sale then total_price else 0 end as net_amount,
        case when is_sale then profit_amount else 0 end as profit_amount,
        ordered_at,
        {{ local_date('ordered_at', 'time_zone') }} as order_date
    from judged
)

select
    *,
    {{ month_of('order_date') }} as order_month
from valued
