{#- Joins each row to the first day of every month from one month to another, both included, as `series.month`. -#}
{% macro join_months(first_month, last_month) -%}
    {{ adapter.dispatch('join_months')(first_month, last_month) }}
{%- endmacro %}

{% macro postgres__join_months(first_month, last_month) -%}
    cross join lateral generate_series(
        cast({{ first_month }} as timestamp), cast({{ last_month }} as timestamp), interval '1 month'
    ) as series (month)
{%- endmacro %}

{% macro spark__join_months(first_month, last_month) -%}
    lateral view explode(sequence(
        cast({{ first_month }} as timestamp), cast({{ last_month }} as timestamp), interval '1 month'
    )) series as month
{%- endmacro %}
