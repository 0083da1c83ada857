{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'slug', 'month'],
    indexes=[{'columns': ['shop_id', 'slug', 'month'], 'unique': true}]
) }}

{%- set measures = {
    'visits': 'bigint',
    'converted_visits': 'bigint',
    'sales': 'bigint',
    'customers': 'bigint',
    'new_customers': 'bigint',
    'net_amount': 'numeric',
} -%}

with

orders as (
    select * from {{ signed_rows(ref('orders')) }}
    where is_sale
),

purchases as (
    select * from {{ signed_rows(ref('purchases')) }}
),

visits as (
    select * from {{ signed_rows(ref('visits')) }}
),

summands as (
    {{ summands(
        'visits', ['shop_id', 'slug', 'visit_month as month'], measures,
        {'visits': 'weight * visit_count'}
    ) }}
    union all
    {{ summands(
        'orders', ['shop_id', 'slug', 'order_month as month'], measures,
        {
            'converted_visits': 'case when has_visit then weight else 0 end',
            'sales': 'weight',
            'net_amount': 'weight * net_amount',
        }
    ) }}
    union all
    {{ summands(
        'purchases', ['shop_id', 'slug', 'order_month as month'], measures,
        {
            'customers': 'case when is_first_with_slug then weight else 0 end',
            'new_customers': 'case when purchase_number = 1 then weight else 0 end',
        }
    ) }}
)

select
    shop_id,
    coalesce(slug, 'unknown') as slug,
    {% for measure, type in measures.items() -%}
        cast(sum({{ measure }}) as {{ data_type(type) }}) as {{ measure }},
    {% endfor -%}
    month
from summands
group by shop_id, coalesce(slug, 'unknown'), month
