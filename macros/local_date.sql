{#- The calendar day of a moment in a time zone. -#}
{% macro local_date(moment, time_zone) -%}
    cast({{ moment }} at time zone {{ time_zone }} as date)
{%- endmacro %}
