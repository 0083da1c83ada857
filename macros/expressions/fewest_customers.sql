{#- How many customers a shop must have for fifths to be meaningful. -#}
{% macro fewest_customers() -%}
    50
{%- endmacro %}
