{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'month', 'from_network', 'to_network'],
    indexes=[{'columns': ['shop_id', 'month', 'from_network', 'to_network'], 'unique': true}]
) }}

with

purchases as (
    select * from {{ signed_rows(ref('purchases')) }}
)

select
    shop_id,
    order_month as month,
    previous_main_network as from_network,
    main_network as to_network,
    sum(weight) as switches
from purchases
where main_network <> previous_main_network
group by shop_id, order_month, previous_main_network, main_network
