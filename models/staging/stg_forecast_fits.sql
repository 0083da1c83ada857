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
    from source
)

select * from renamed
