with

source as (
    select * from {{ source('regulars', 'batch') }}
),

renamed as (
    select
        entity,
        shop_id,
        entity_id
    from source
)

select * from renamed
