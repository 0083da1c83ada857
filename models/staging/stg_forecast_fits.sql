with

source as (
    select * from {{ source('regulars', 'forecast_fits') }}
),

renamed as (
    select
        shop_id,
        fit_id,
        fitted_at,
        fitted_through,
        purchase_days,
        net_amount,
        customers,
        repeat_customers,
        cast(r as numeric) as r,
        cast(alpha as numeric) as alpha,
        cast(a as numeric) as a,
        cast(b as numeric) as b,
        cast(log_likelihood as numeric) as log_likelihood,
        converged,
        reason,
        cast(p as numeric) as p,
        cast(q as numeric) as q,
        cast(v as numeric) as v,
        cast(amount_log_likelihood as numeric) as amount_log_likelihood,
        amount_reason,
        is_in_use
    from source
)

select * from renamed
