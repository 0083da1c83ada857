{{ config(
    unique_key=['shop_id'],
    meta={'entities': ['shop'], 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id'], 'unique': true}]
) }}

with

shops as (
    select * from {{ ref('stg_shops') }}
    where {{ in_batch() }}
)

select
    shop_id,
    shop_slug,
    shop_name,
    currency,
    time_zone
from shops
