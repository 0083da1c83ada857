with

{{ rhythms() }}

select
    shop_id,
    coalesce(state, 'unknown') as state,
    count(*) as customers,
    sum(net_per_month) as net_per_month
from rhythms
group by shop_id, coalesce(state, 'unknown')
