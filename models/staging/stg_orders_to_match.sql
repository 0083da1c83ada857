with

source as (
    select * from {{ source('regulars', 'orders_to_match') }}
),

renamed as (
    select
        order_id,
        shop_id,
        noted_at
    from source
)

select * from renamed
