{{ config(
    unique_key=['shop_id'],
    meta={'upstream': 'customers', 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id'], 'unique': true}]
) }}

-- A fifth begins with the smallest value that has at least as many customers below it as the fifths
-- before have. So equal values stay together.
with

{% for measure in rfm_measures() -%}
    {{ measure.name }} as (
        {{ cuts_by(ref('customers'), measure) }}
    ){{ ',' if not loop.last }}

{% endfor -%}

select
    recency.shop_id,
    {% for fifth in range(2, 6) -%}
        {% for measure in rfm_measures() -%}
            {{ measure.name }}.{{ measure.cut }}_{{ fifth }},
            {{ measure.name }}.{{ measure.name }}_below_{{ fifth }},
        {% endfor -%}
    {% endfor -%}
    recency.customers
from recency
inner join frequency on recency.shop_id = frequency.shop_id
inner join monetary on recency.shop_id = monetary.shop_id
