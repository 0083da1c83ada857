{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'utm_source', 'utm_medium', 'utm_campaign', 'month'],
    pre_hook="{{ planned_without('incremental_sort') }}",
    indexes=[{
        'columns': ['shop_id', 'utm_source', 'utm_medium', 'utm_campaign', 'month'],
        'unique': true
    }]
) }}

{#-
    PostgreSQL would read all orders in the order of an index on the shop, at random places of the table, to sort each
    shop's by the other columns.
-#}
{%- set campaign = ['utm_source', 'utm_medium', 'utm_campaign'] -%}
{%- set first_campaign = [
    'first_utm_source as utm_source', 'first_utm_medium as utm_medium',
    'first_utm_campaign as utm_campaign'
] -%}
{%- set measures = {
    'visits': 'bigint',
    'converted_visits': 'bigint',
    'orders': 'bigint',
    'sales': 'bigint',
    'new_customers': 'bigint',
    'net_amount': 'numeric',
    'first_touch_sales': 'bigint',
    'first_touch_net_amount': 'numeric',
} -%}

with

orders as (
    select * from {{ signed_rows(ref('orders')) }}
),

purchases as (
    select * from {{ signed_rows(ref('purchases')) }}
),

visits as (
    select * from {{ signed_rows(ref('visits')) }}
),

summands as (
    {{ summands(
        'visits', ['shop_id', 'visit_month as month'] + campaign, measures,
        {'visits': 'weight * visit_count'}
    ) }}
    union all
    {{ summands(
        'orders', ['shop_id', 'order_month as month'] + campaign, measures, order_measures()
    ) }}
    union all
    {{ summands(
        'purchases', ['shop_id', 'order_month as month'] + first_campaign, measures,
        {
            'new_customers': 'case when purchase_number = 1 then weight else 0 end',
            'first_touch_sales': 'weight',
            'first_touch_net_amount': 'weight * net_amount',
        }
    ) }}
)

select
    shop_id,
    coalesce(utm_source, 'unknown') as utm_source,
    coalesce(utm_medium, 'unknown') as utm_medium,
    coalesce(utm_campaign, 'unknown') as utm_campaign,
    {% for measure, type in measures.items() -%}
        cast(sum({{ measure }}) as {{ data_type(type) }}) as {{ measure }},
    {% endfor -%}
    month
from summands
group by
    shop_id,
    coalesce(utm_source, 'unknown'),
    coalesce(utm_medium, 'unknown'),
    coalesce(utm_campaign, 'unknown'),
    month
