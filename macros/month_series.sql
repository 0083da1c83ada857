{#- The first day of every month from one month to another, both included; for `cross join lateral`. -#}
{% macro month_series(first_month, last_month) -%}
    {{ adapter.dispatch('month_series')(first_month, last_month) }}
{%- endmacro %}

{% macro postgres__month_series(first_month, last_month) -%}
    generate_series(
        cast({{ first_month }} as timestamp), cast({{ last_month }} as timestamp), interval '1 month'
    )
{%- endmacro %}

{% macro spark__month_series(first_month, last_month) -%}
    explode(sequence(
        cast({{ first_month }} as timestamp), cast({{ last_month }} as timestamp), interval '1 month'
    ))
{%- endmacro %}
