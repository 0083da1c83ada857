with

{{ rhythms() }}

select
    shop_id,
    shop_customer_id,
    gap_days,
    uses_shop_median,
    first_purchase_date,
    last_purchase_date,
    days_since,
    due_on,
    at_risk_from,
    lapsed_from,
    {{ rhythm_state() }} as state,
    reason,
    net_per_month
from rhythms
