{#- Given rows, each a list of expressions, which may use columns of earlier relations; for `cross join lateral`. -#}
{% macro rows_of(rows) -%}
    {{ adapter.dispatch('rows_of')(rows) }}
{%- endmacro %}

{% macro postgres__rows_of(rows) -%}
    (
        values
        {% for row in rows -%}
            ({{ row | join(', ') }}){{ ',' if not loop.last }}
        {% endfor %}
    )
{%- endmacro %}

{#- Spark refuses columns of earlier relations in `values`. -#}
{% macro spark__rows_of(rows) -%}
    inline(array(
        {% for row in rows -%}
            named_struct(
                {%- for expression in row -%}
                    'column{{ loop.index }}', {{ expression }}{{ ', ' if not loop.last }}
                {%- endfor -%}
            ){{ ',' if not loop.last }}
        {% endfor %}
    ))
{%- endmacro %}
