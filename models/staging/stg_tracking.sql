-- Nested selects and no CTEs, as in stg_orders.
select
    tracking_id,
    shop_id,
    order_id,
    shop_customer_id,
    is_visit,
    slug,
    referrer,
    utm_source,
    utm_medium,
    utm_campaign,
    visited_at,
    {{ local_date('visited_at', 'time_zone') }} as visit_date
from (
    select
        tracking.id as tracking_id,
        tracking.shop_id,
        tracking.shop_order_id as order_id,
        tracking.shop_customer_id,
        tracking.accessed_at is not null as is_visit,
        nullif(trim(cast(tracking.accessed_via_slug as text)), '') as slug,
        cast(tracking.referrer as text) as referrer,
        cast(tracking.utm_source as text) as utm_source,
        cast(tracking.utm_medium as text) as utm_medium,
        cast(tracking.utm_campaign as text) as utm_campaign,
        case
            when tracking.accessed_at is not null
                then coalesce(
                    {{ as_utc('tracking.accessed_at') }}, timestamptz '1970-01-01 00:00:00+00'
                )
        end as visited_at,
        coalesce(shops.time_zone, 'UTC') as time_zone
    from {{ source('regulars', 'tracking') }} as tracking
    left join {{ ref('stg_shops') }} as shops on tracking.shop_id = shops.shop_id
) as renamed
