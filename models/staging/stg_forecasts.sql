with

source as (
    select * from {{ source('regulars', 'forecasts') }}
),

renamed as (
    select
        shop_id,
        shop_customer_id,
        fit_id,
        probability_alive,
        expected_purchases_30,
        expected_purchases_90,
        expected_purchases_365,
        expected_net_amount_30,
        expected_net_amount_90,
        expected_net_amount_365
    from source
)

select * from renamed
