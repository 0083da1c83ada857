{{ config(
    unique_key=['shop_id', 'fit_id'],
    meta={'entities': ['forecast'], 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id', 'fit_id'], 'unique': true}]
) }}

with

fits as (
    select * from {{ ref('stg_forecast_fits') }}
    where {{ in_batch() }}
)

select
    shop_id,
    fit_id,
    fitted_at,
    fitted_through,
    purchase_days,
    net_amount,
    customers,
    repeat_customers,
    r,
    alpha,
    a,
    b,
    log_likelihood,
    converged,
    reason,
    p,
    q,
    v,
    amount_log_likelihood,
    amount_reason,
    is_in_use
from fits
