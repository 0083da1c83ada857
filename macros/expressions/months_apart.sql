{#- How many calendar months lie between two months' first days. -#}
{% macro months_apart(first_month, second_month) -%}
    cast(
        (extract(year from {{ second_month }}) - extract(year from {{ first_month }})) * 12
        + extract(month from {{ second_month }}) - extract(month from {{ first_month }})
        as integer
    )
{%- endmacro %}
