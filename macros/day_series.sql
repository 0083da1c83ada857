{#- Midnight of every day from one day to another, both included; what a query can select from. -#}
{% macro day_series(first_day, last_day) -%}
    {{ adapter.dispatch('day_series')(first_day, last_day) }}
{%- endmacro %}

{% macro postgres__day_series(first_day, last_day) -%}
    generate_series(
        timestamp '{{ first_day }}',
        cast({{ last_day }} as timestamp),
        interval '1 day'
    )
{%- endmacro %}

{% macro spark__day_series(first_day, last_day) -%}
    explode(sequence(
        timestamp '{{ first_day }}',
        cast({{ last_day }} as timestamp),
        interval '1 day'
    ))
{%- endmacro %}
