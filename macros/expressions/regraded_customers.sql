{#-
    The customers whose segment may have changed without a change of their own, as a query: those between the old and
    the new first value of a fifth, and all of a shop whose grid changed or that gained or lost its fifths. It may
    name too many, since recomputing is exact.
-#}
{% macro regraded_customers() -%}
    {%- set cuts = signed_rows(ref('rfm_cuts')) -%}
    select customers.shop_id, customers.shop_customer_id
    from {{ ref('customers') }} as customers
    where
        customers.shop_id in (
            select shop_id from regulars.batch where entity = 'segment_grid'
            union
            select shop_id from {{ cuts }} group by shop_id having sum(weight) <> 0
        )
    {%- for measure in rfm_measures() %}
    {%- for fifth in range(2, 6) %}
    union
    select customers.shop_id, customers.shop_customer_id
    from (
        -- An empty fifth has no first value: it begins beyond all values.
        select
            shop_id,
            min({{ measure.cut }}_{{ fifth }}) as lowest,
            max(coalesce({{ measure.cut }}_{{ fifth }}, {{ measure.beyond }})) as highest
        from {{ cuts }}
        group by shop_id
    ) as moved
    inner join {{ ref('customers') }} as customers
        on
            moved.shop_id = customers.shop_id
            and moved.lowest < moved.highest
            and customers.{{ measure.value }} >= moved.lowest
            and customers.{{ measure.value }} < moved.highest
    {%- endfor %}
    {%- endfor %}
{%- endmacro %}
