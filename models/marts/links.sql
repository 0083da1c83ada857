{{ config(
    unique_key=['shop_id', 'link'],
    meta={'entities': ['link'], 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id', 'link'], 'unique': true}]
) }}

with

slugs as (
    select * from {{ ref('stg_shop_slugs') }}
    where {{ in_batch() }}
),

-- The newest slug is in use now.
numbered as (
    select
        *,
        row_number() over (
            partition by shop_id, link
            order by valid_from desc nulls last, {{ by_bytes('slug') }} desc
        ) as number_from_newest
    from slugs
)

select
    shop_id,
    link,
    max(case when number_from_newest = 1 then shown_slug end) as current_slug,
    {{ listed(
        'case when number_from_newest > 1 then shown_slug end', sorted_by='number_from_newest'
    ) }} as former_slugs,
    count(*) as slugs
from numbered
group by shop_id, link
