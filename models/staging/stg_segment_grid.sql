with

source as (
    select * from {{ source('regulars', 'segment_grid') }}
),

renamed as (
    select
        shop_id,
        recency_score,
        value_score,
        {{ without_contact('segment') }} as segment
    from source
)

select * from renamed
