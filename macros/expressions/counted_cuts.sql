{#-
    Where a shop's fifths begin, by one of `rfm_measures`, as a query of `shop_id`, `<cut>_<n>` and `<name>_below_<n>`
    for fifths 2 to 5, and `customers`; for the shops that have fifths. Customers are counted by value first, so that
    a task of Spark sorts the values, not all customers of a large shop.
-#}
{% macro counted_cuts(customers, measure) -%}
    select
        shop_id,
        {% for fifth in range(2, 6) -%}
        {%- set is_reached = '5 * below >= ' ~ (fifth - 1) ~ ' * customers' -%}
        min(case when {{ is_reached }} then {{ measure.value }} end) as {{ measure.cut }}_{{ fifth }},
        coalesce(
            min(case when {{ is_reached }} then below end), max(customers)
        ) as {{ measure.name }}_below_{{ fifth }},
        {% endfor -%}
        max(customers) as customers
    from (
        select
            shop_id,
            {{ measure.value }},
            cast(
                sum(customers) over (partition by shop_id order by {{ measure.value }}) - customers
                as {{ data_type('bigint') }}
            ) as below,
            cast(
                sum(customers) over (partition by shop_id) as {{ data_type('bigint') }}
            ) as customers
        from (
            select shop_id, {{ measure.value }}, count(*) as customers
            from {{ customers }}
            group by shop_id, {{ measure.value }}
        ) as counted_values
    ) as ranked_values
    group by shop_id
    having max(customers) >= {{ fewest_customers() }}
{%- endmacro %}
