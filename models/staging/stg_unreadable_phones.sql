with

source as (
    select * from {{ source('regulars', 'unreadable_phones') }}
),

renamed as (
    select
        order_id,
        shop_id,
        reason,
        noted_at
    from source
)

select * from renamed
