{#- A text that says something, without blanks around it; null where it is empty. -#}
{% macro told(column) -%}
    nullif(trim(cast({{ column }} as text)), '')
{%- endmacro %}
