{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'link', 'month'],
    indexes=[{'columns': ['shop_id', 'link', 'month'], 'unique': true}]
) }}

{%- set measures = {
    'visits': 'bigint',
    'converted_visits': 'bigint',
    'orders': 'bigint',
    'sales': 'bigint',
    'new_customers': 'bigint',
    'returning_customers': 'bigint',
    'net_amount': 'numeric',
    'first_touch_sales': 'bigint',
    'first_touch_net_amount': 'numeric',
    'later_net_amount_30': 'numeric',
    'later_net_amount_90': 'numeric',
    'later_net_amount_365': 'numeric',
    'came_back_customers': 'bigint',
    'brought_net_amount': 'numeric',
} -%}

{#- Not a CTE: it is read three times, and would be written to disk before that. -#}
{%- set purchases = signed_rows(ref('purchases')) -%}
{%- set days_since = days_between('first_purchase_date', 'order_date') -%}

with

orders as (
    select * from {{ signed_rows(ref('orders')) }}
),

visits as (
    select * from {{ signed_rows(ref('visits')) }}
),

summands as (
    {{ summands(
        'visits', ['shop_id', 'link', 'visit_month as month'], measures,
        {'visits': 'weight * visit_count'}
    ) }}
    union all
    {{ summands(
        'orders', ['shop_id', 'link', 'order_month as month'], measures, order_measures()
    ) }}
    union all
    {{ summands(
        purchases, ['shop_id', 'link', 'order_month as month'], measures,
        {
            'new_customers': 'case when purchase_number = 1 then weight else 0 end',
            'returning_customers':
                'case when is_first_with_link and purchase_number > 1 then weight else 0 end',
        }
    ) }}
    union all
    {{ summands(
        purchases, ['shop_id', 'first_link as link', 'order_month as month'], measures,
        {'first_touch_sales': 'weight', 'first_touch_net_amount': 'weight * net_amount'}
    ) }}
    union all
    -- Later purchases of a customer count in the month in which the link brought them.
    {{ summands(
        purchases, ['shop_id', 'first_link as link', 'cohort_month as month'], measures,
        {
            'later_net_amount_30':
                'case when purchase_number > 1 and ' ~ days_since ~ ' <= 30'
                ~ ' then weight * net_amount else 0 end',
            'later_net_amount_90':
                'case when purchase_number > 1 and ' ~ days_since ~ ' <= 90'
                ~ ' then weight * net_amount else 0 end',
            'later_net_amount_365':
                'case when purchase_number > 1 and ' ~ days_since ~ ' <= 365'
                ~ ' then weight * net_amount else 0 end',
            'came_back_customers': 'case when purchase_number = 2 then weight else 0 end',
            'brought_net_amount': 'weight * net_amount',
        }
    ) }}
)

select
    shop_id,
    coalesce(link, 'unknown') as link,
    {% for measure, type in measures.items() -%}
        cast(sum({{ measure }}) as {{ data_type(type) }}) as {{ measure }},
    {% endfor -%}
    month
from summands
group by shop_id, coalesce(link, 'unknown'), month
