{{ config(
    unique_key=['shop_id', 'shop_customer_id'],
    meta={'entities': ['forecast'], 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id', 'shop_customer_id'], 'unique': true}]
) }}

with

forecasts as (
    select * from {{ ref('stg_forecasts') }}
    where {{ in_batch() }}
),

fits as (
    select * from {{ ref('stg_forecast_fits') }}
)

select
    forecasts.shop_id,
    forecasts.shop_customer_id,
    forecasts.fit_id,
    fits.fitted_through,
    forecasts.probability_alive,
    forecasts.expected_purchases_30,
    forecasts.expected_purchases_90,
    forecasts.expected_purchases_365,
    forecasts.expected_net_amount_30,
    forecasts.expected_net_amount_90,
    forecasts.expected_net_amount_365
from forecasts
inner join fits
    on
        forecasts.shop_id = fits.shop_id
        and forecasts.fit_id = fits.fit_id
