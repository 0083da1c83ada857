with

source as (
    select * from {{ source('regulars', 'refreshes') }}
),

renamed as (
    select
        refresh_id,
        mode,
        status,
        started_at,
        as_of,
        finished_at
    from source
)

select * from renamed
