select
    shop_overview.shop_id,
    shop_overview.total_customers as customers,
    rfm_cuts.shop_id is not null as has_segments,
    case
        when rfm_cuts.shop_id is null
            then
                'fewer than ' || {{ fewest_customers() }} || ' customers: '
                || shop_overview.total_customers
    end as reason
from {{ ref('shop_overview') }} as shop_overview
left join {{ ref('rfm_cuts') }} as rfm_cuts on shop_overview.shop_id = rfm_cuts.shop_id
