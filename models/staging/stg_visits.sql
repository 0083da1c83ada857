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
        {{ told('visits.accessed_via_slug') }} as slug,
        {{ told('visits.referrer') }} as referrer,
        {{ told('visits.utm_source') }} as utm_source,
        {{ told('visits.utm_medium') }} as utm_medium,
        {{ told('visits.utm_campaign') }} as utm_campaign,
        coalesce(
            {{ as_utc('visits.accessed_at') }}, timestamptz '1970-01-01 00:00:00+00'
        ) as visited_at,
        case
            when {{ as_utc('visits.accessed_at') }} is null then 'UTC'
            else coalesce(shops.time_zone, 'UTC')
        end as time_zone
    from {{ source('storefront', 'customer_tracking') }} as visits
    left join {{ ref('stg_shops') }} as shops on visits.shop_id = shops.shop_id
    where visits.shop_id is not null
) as renamed
