-- With CTEs, which PostgreSQL computes on their own: each zone is tried once a shop, not once an
-- order.
with

source as (
    select * from {{ source('storefront', 'user_shops') }}
),

renamed as (
    select
        id as shop_id,
        {{ without_contact('cast(shop_slug as text)') }} as shop_slug,
        {{ without_contact('cast(shop_name as text)') }} as shop_name,
        coalesce(cast(currency as text), 'GHS') as currency,
        -- A zone that can't be read must not stop every other shop's numbers.
        case
            when regulars.is_time_zone(cast(timezone as text)) then cast(timezone as text)
            else 'UTC'
        end as time_zone
    from source
)

select * from renamed
