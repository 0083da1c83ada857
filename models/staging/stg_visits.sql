-- Nested selects and no CTEs, as in stg_orders.
select
    visit_id,
    shop_id,
    order_id,
    slug,
    referrer,
    utm_source,
    utm_medium,
    utm_campaign,
    visited_at,
    {{ local_date('visited_at', 'time_zone') }} as visit_date
from (
    select
        visits.id as visit_id,
        visits.shop_id,
        visits.shop_order_id as order_id,
        nullif(trim(cast(visits.accessed_via_slug as text)), '') as slug,
        cast(visits.referrer as text) as referrer,
        cast(visits.utm_source as text) as utm_source,
        cast(visits.utm_medium as text) as utm_medium,
        cast(visits.utm_campaign as text) as utm_campaign,
        coalesce(
            {{ as_utc('visits.accessed_at') }}, timestamptz '1970-01-01 00:00:00+00'
        ) as visited_at,
        coalesce(shops.time_zone, 'UTC') as time_zone
    from {{ source('storefront', 'customer_tracking') }} as visits
    left join {{ ref('stg_shops') }} as shops on visits.shop_id = shops.shop_id
    where visits.shop_id is not null
) as renamed
