{#- Where a mart's refresh writes both versions of every row that it changed. -#}
{% macro delta_table(model) -%}
    regulars.delta_{{ model }}
{%- endmacro %}
