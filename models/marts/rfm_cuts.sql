{{ config(
    unique_key=['shop_id'],
    meta={'upstream': 'customers', 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id'], 'unique': true}]
) }}

{%- set measures = {
    'last_purchase_date': 'recency_date',
    'total_purchases': 'frequency',
    'total_spent': 'monetary_amount',
} -%}

with

-- The value up to which a share of the customers lies: fewer than 2 in 5 have less than `…_2`, and
-- at least as many have `…_2` or less.
percentiles as (
    {{ percentiles(ref('customers'), measures) }}
)

-- So the next fifth begins with the smallest value beyond it: equal values stay together.
select
    percentiles.shop_id,
    {% for fifth in range(2, 6) -%}
        {% for measure, cut in measures.items() -%}
            min(
                case
                    when customers.{{ measure }} > percentiles.{{ measure }}_{{ fifth - 1 }}
                        then customers.{{ measure }}
                end
            ) as {{ cut }}_{{ fifth }},
        {% endfor -%}
    {% endfor -%}
    min(percentiles.customers) as customers
from percentiles
inner join {{ ref('customers') }} as customers on percentiles.shop_id = customers.shop_id
group by percentiles.shop_id
