{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'order_date'],
    indexes=[{'columns': ['shop_id', 'order_date'], 'unique': true}]
) }}

{%- set measures = {
    'orders': 'bigint',
    'sales': 'bigint',
    'customers': 'bigint',
    'unmatched_orders': 'bigint',
    'tracked_orders': 'bigint',
    'gross_amount': 'numeric',
    'refunded_amount': 'numeric',
    'net_amount': 'numeric',
    'profit_amount': 'numeric',
} -%}

with

orders as (
    select * from {{ signed_rows(ref('orders')) }}
),

purchases as (
    select * from {{ signed_rows(ref('purchases')) }}
),

summands as (
    {{ summands(
        'orders', ['shop_id', 'order_date'], measures,
        {
            'orders': 'weight',
            'sales': 'case when is_sale then weight else 0 end',
            'unmatched_orders': 'case when shop_customer_id is null then weight else 0 end',
            'tracked_orders':
                'case when slug is not null or has_visit then weight else 0 end',
            'gross_amount': 'weight * gross_amount',
            'refunded_amount': 'weight * refunded_amount',
            'net_amount': 'weight * net_amount',
            'profit_amount': 'weight * profit_amount',
        }
    ) }}
    union all
    {{ summands(
        'purchases', ['shop_id', 'order_date'], measures,
        {'customers': 'case when is_first_of_day then weight else 0 end'}
    ) }}
)

select
    shop_id,
    {% for measure, type in measures.items() -%}
        cast(sum({{ measure }}) as {{ data_type(type) }}) as {{ measure }},
    {% endfor -%}
    order_date
from summands
group by shop_id, order_date
