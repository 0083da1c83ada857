{#- An amount that can be added up: NULL, NaN and infinity count as 0, so that a bad row doesn't spoil a sum. -#}
{% macro money(column) -%}
    coalesce({{ finite(column) }}, 0)
{%- endmacro %}
