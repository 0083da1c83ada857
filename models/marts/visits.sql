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
    select
        tracking_id as visit_id,
        shop_id,
        order_id,
        visited_at,
        visit_date,
        visit_count,
        slug,
        link,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign
    from {{ ref('stg_tracking') }}
    where is_visit
),

changed_visits as (
    select * from visits
    where {{ in_batch() }}
)

select
    visit_id,
    shop_id,
    order_id,
    visited_at,
    visit_date,
    {{ month_of('visit_date') }} as visit_month,
    visit_count,
    slug,
    link,
    referrer,
    utm_source,
    utm_medium,
    utm_campaign
from changed_visits
