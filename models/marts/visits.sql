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
        is_timed,
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
),

dated as (
    select
        changed_visits.visit_id,
        changed_visits.shop_id,
        changed_visits.order_id,
        changed_visits.visited_at,
        {{ day_in_shop('changed_visits.visited_at', 'changed_visits.is_timed') }} as visit_date,
        changed_visits.visit_count,
        changed_visits.slug,
        changed_visits.link,
        changed_visits.referrer,
        changed_visits.utm_source,
        changed_visits.utm_medium,
        changed_visits.utm_campaign
    from changed_visits
    left join {{ ref('shops') }} as shops on changed_visits.shop_id = shops.shop_id
)

select
    *,
    {{ month_of('visit_date') }} as visit_month
from dated
