{#- The first day of the month that comes so many months after another, given by its first day. -#}
{% macro months_later(month, months) -%}
    {{ adapter.dispatch('months_later')(month, months) }}
{%- endmacro %}

{% macro postgres__months_later(month, months) -%}
    cast({{ month }} + {{ months }} * interval '1 month' as date)
{%- endmacro %}

{% macro spark__months_later(month, months) -%}
    add_months({{ month }}, {{ months }})
{%- endmacro %}
