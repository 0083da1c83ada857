-- Nested selects and no CTEs, as in stg_orders.
select
    tracking_id,
    shop_id,
    order_id,
    shop_customer_id,
    is_visit,
    visit_count,
    {{ without_contact('slug') }} as slug,
    {{ without_contact('link') }} as link,
    {{ without_contact('referrer') }} as referrer,
    {{ without_contact('utm_source') }} as utm_source,
    {{ without_contact('utm_medium') }} as utm_medium,
    {{ without_contact('utm_campaign') }} as utm_campaign,
    visited_at,
    is_timed
from (
    select
        tracking.id as tracking_id,
        tracking.shop_id,
        tracking.shop_order_id as order_id,
        tracking.shop_customer_id,
        tracking.accessed_at is not null as is_visit,
        tracking.visit_count,
        {{ text_or_null('tracking.accessed_via_slug') }} as slug,
        -- Slugs with one label are one link, which rotates: each from the day on which the shop
        -- began to use it.
        case
            when
                tracking.accessed_at is null
                or slugs.valid_from is null
                or {{ as_utc('tracking.accessed_at') }} >= slugs.valid_from
                then coalesce(slugs.link, {{ text_or_null('tracking.accessed_via_slug') }})
            else {{ text_or_null('tracking.accessed_via_slug') }}
        end as link,
        -- The part after the host may name a person: a chat's address has their phone number in it.
        {{ scheme_and_host('trim(tracking.referrer)') }} as referrer,
        {{ text_or_null('tracking.utm_source') }} as utm_source,
        {{ text_or_null('tracking.utm_medium') }} as utm_medium,
        {{ text_or_null('tracking.utm_campaign') }} as utm_campaign,
        case
            when tracking.accessed_at is not null
                then coalesce(
                    {{ as_utc('tracking.accessed_at') }},
                    {{ data_type('timestamptz') }} '1970-01-01 00:00:00+00'
                )
        end as visited_at,
        {{ as_utc('tracking.accessed_at') }} is not null as is_timed
    from {{ source('regulars', 'tracking') }} as tracking
    left join {{ ref('stg_shop_slugs') }} as slugs
        on
            tracking.shop_id = slugs.shop_id
            and {{ text_or_null('tracking.accessed_via_slug') }} = slugs.slug
) as renamed
