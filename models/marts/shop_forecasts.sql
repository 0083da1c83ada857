{{ config(
    unique_key=['shop_id', 'fit_id', 'horizon_days'],
    meta={'entities': ['forecast'], 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id', 'fit_id', 'horizon_days'], 'unique': true}]
) }}

with

forecasts as (
    select * from {{ ref('stg_shop_forecasts') }}
    where {{ in_batch() }}
),

fits as (
    select * from {{ ref('stg_forecast_fits') }}
)

select
    forecasts.shop_id,
    forecasts.fit_id,
    forecasts.horizon_days,
    forecasts.from_day,
    forecasts.matures_on,
    forecasts.customers,
    forecasts.expected_purchases,
    forecasts.expected_net_amount,
    fits.is_in_use
from forecasts
inner join fits
    on
        forecasts.shop_id = fits.shop_id
        and forecasts.fit_id = fits.fit_id
