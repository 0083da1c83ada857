{#- How many customers a shop must have for fifths to say anything. -#}
{% macro fewest_customers() -%}
    50
{%- endmacro %}
