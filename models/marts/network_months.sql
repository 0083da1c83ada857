{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'network', 'month'],
    indexes=[{'columns': ['shop_id', 'network', 'month'], 'unique': true}]
) }}

{%- set measures = {
    'sales': 'bigint',
    'net_amount': 'numeric',
    'active_customers': 'bigint',
} -%}

with

orders as (
    select * from {{ signed_rows(ref('orders')) }}
    where is_sale
),

purchases as (
    select * from {{ signed_rows(ref('purchases')) }}
    where is_first_with_network_of_month
),

summands as (
    {{ summands(
        'orders', ['shop_id', 'network', 'order_month as month'], measures,
        {'sales': 'weight', 'net_amount': 'weight * net_amount'}
    ) }}
    union all
    {{ summands(
        'purchases', ['shop_id', 'network', 'order_month as month'], measures,
        {'active_customers': 'weight'}
    ) }}
)

select
    shop_id,
    coalesce(network, 'unknown') as network,
    {% for measure, type in measures.items() -%}
        cast(sum({{ measure }}) as {{ data_type(type) }}) as {{ measure }},
    {% endfor -%}
    month
from summands
group by shop_id, coalesce(network, 'unknown'), month
