{#-
    For each shop the value up to which a share of its rows lies, as a query of `shop_id`, `<measure>_<n>` for n fifths of 20
    per cent, and `customers`, the number of rows; of shops with at least so many rows as fifths need.
-#}
{% macro percentiles(rows, measures) -%}
    {{ adapter.dispatch('percentiles')(rows, measures) }}
{%- endmacro %}

{% macro postgres__percentiles(rows, measures) -%}
    select
        shop_id,
        {% for measure in measures -%}
            {% for fifths in range(1, 5) -%}
                percentile_disc(0.{{ 2 * fifths }}) within group (
                    order by {{ measure }}
                ) as {{ measure }}_{{ fifths }},
            {% endfor -%}
        {% endfor -%}
        count(*) as customers
    from {{ rows }}
    where {{ in_batch() }}
    group by shop_id
    having count(*) >= {{ fewest_customers() }}
{%- endmacro %}

{#-
    Spark's percentile_disc is a double. Rows are counted by value first, wherever they are, so that no task sorts all rows of
    a large shop: it sorts its distinct values. As PostgreSQL does, the row is found by rounding up a double.
-#}
{% macro spark__percentiles(rows, measures) -%}
    select
        shop_id,
        {% for measure in measures -%}
            {% for fifths in range(1, 5) -%}
                min(
                    case
                        when
                            measure = '{{ measure }}'
                            and up_to_here >= ceil(cast(0.{{ 2 * fifths }} as double) * customers)
                            then {{ measure }}
                    end
                ) as {{ measure }}_{{ fifths }},
            {% endfor -%}
        {% endfor -%}
        max(customers) as customers
    from (
        {% for counted in measures -%}
            select
                shop_id,
                '{{ counted }}' as measure,
                {% for measure in measures -%}
                    {{ measure if measure == counted else 'null as ' ~ measure }},
                {% endfor -%}
                sum(customers) over (
                    partition by shop_id
                    order by {{ counted }}
                ) as up_to_here,
                sum(customers) over (partition by shop_id) as customers
            from (
                select
                    shop_id,
                    {{ counted }},
                    count(*) as customers
                from {{ rows }}
                group by shop_id, {{ counted }}
            ) as counted_values
            {{ 'union all' if not loop.last }}
        {% endfor %}
    ) as cumulated
    group by shop_id
    having max(customers) >= {{ fewest_customers() }}
{%- endmacro %}
