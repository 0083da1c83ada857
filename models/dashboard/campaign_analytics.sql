{{ config(indexes=[{
    'columns': ['shop_id', 'utm_source', 'utm_medium', 'utm_campaign'], 'unique': true
}]) }}

with

campaigns as (
    select
        shop_id,
        utm_source,
        utm_medium,
        utm_campaign,
        cast(sum(visits) as bigint) as visits,
        cast(sum(converted_visits) as bigint) as converted_visits,
        cast(sum(orders) as bigint) as orders,
        cast(sum(sales) as bigint) as sales,
        cast(sum(new_customers) as bigint) as new_customers,
        sum(net_amount) as last_touch_net_amount,
        sum(first_touch_net_amount) as first_touch_net_amount
    from {{ ref('campaign_months') }}
    group by shop_id, utm_source, utm_medium, utm_campaign
)

select
    *,
    round(1.0 * converted_visits / nullif(visits, 0), 4) as conversion_rate
from campaigns
