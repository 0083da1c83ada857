-- One select, as in stg_orders: `shops` tries only the zones of the shops that changed.
select
    id as shop_id,
    {{ without_contact(as_text('shop_slug')) }} as shop_slug,
    {{ without_contact(as_text('shop_name')) }} as shop_name,
    coalesce({{ as_text('currency') }}, 'GHS') as currency,
    -- A zone that can't be read must not stop every other shop's numbers.
    case
        when regulars.is_time_zone({{ as_text('timezone') }})
            then {{ as_text('timezone') }}
        else 'UTC'
    end as time_zone
from {{ source('storefront', 'user_shops') }}
