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
        {{ exact('r') }} as r,
        {{ exact('alpha') }} as alpha,
        {{ exact('a') }} as a,
        {{ exact('b') }} as b,
        {{ exact('log_likelihood') }} as log_likelihood,
        converged,
        reason,
        {{ exact('p') }} as p,
        {{ exact('q') }} as q,
        {{ exact('v') }} as v,
        {{ exact('amount_log_likelihood') }} as amount_log_likelihood,
        amount_reason,
        is_in_use
    from source
)

select * from renamed
