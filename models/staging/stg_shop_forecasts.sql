with

source as (
    select * from {{ source('regulars', 'shop_forecasts') }}
),

renamed as (
    select
        shop_id,
        fit_id,
        horizon_days,
        from_day,
        matures_on,
        customers,
        expected_purchases,
        expected_net_amount
    from source
)

select * from renamed
