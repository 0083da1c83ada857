{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'gap_days'],
    indexes=[{'columns': ['shop_id', 'gap_days'], 'unique': true}]
) }}

with

purchases as (
    select * from {{ signed_rows(ref('purchases')) }}
)

select
    shop_id,
    gap_days,
    sum(weight) as gaps
from purchases
where gap_days is not null
group by shop_id, gap_days
