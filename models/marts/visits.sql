{{ config(
    unique_key=['shop_id', 'visit_id'],
    meta={'entities': ['visit'], 'keys': ['shop_id', 'visit_id']},
    indexes=[
        {'columns': ['shop_id', 'visit_id'], 'unique': true},
        {'columns': ['shop_id', 'order_id']},
    ]
) }}

with

visits as (
    select * from {{ ref('stg_visits') }}
    where {{ only_changed() }}
)

select
    visit_id,
    shop_id,
    order_id,
    visited_at,
    visit_date,
    {{ month_of('visit_date') }} as visit_month,
    slug,
    referrer,
    utm_source,
    utm_medium,
    utm_campaign
from visits
