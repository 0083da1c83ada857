with

source as (
    select * from {{ source('storefront', 'customer_tracking') }}
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
        source.id as visit_id,
        source.shop_id,
        source.shop_order_id as order_id,
        nullif(trim(cast(source.accessed_via_slug as text)), '') as slug,
        cast(source.referrer as text) as referrer,
        cast(source.utm_source as text) as utm_source,
        cast(source.utm_medium as text) as utm_medium,
        cast(source.utm_campaign as text) as utm_campaign,
        coalesce(
            {{ as_utc('source.accessed_at') }}, timestamptz '1970-01-01 00:00:00+00'
        ) as visited_at,
        coalesce(shops.time_zone, 'UTC') as time_zone
    from source
    left join shops on source.shop_id = shops.shop_id
)

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
from renamed
