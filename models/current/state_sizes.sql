select
    shop_id,
    coalesce(state, 'unknown') as state,
    count(*) as customers,
    sum(monthly_net_amount) as monthly_net_amount
from {{ ref('customer_rhythms') }}
group by shop_id, coalesce(state, 'unknown')
