with

{{ rhythms() }},

-- By the conditions instead of the state's name: PostgreSQL knows that a condition has few values,
-- and doesn't sort customers.
counted as (
    select
        shop_id,
        is_due,
        is_at_risk,
        is_lapsed,
        count(*) as customers,
        sum(net_per_month) as net_per_month
    from rhythms
    group by shop_id, is_due, is_at_risk, is_lapsed
)

select
    shop_id,
    coalesce({{ rhythm_state() }}, 'unknown') as state,
    customers,
    net_per_month
from counted
