{#- A text that says something, without blanks around it; null where it is empty. -#}
{% macro text_or_null(column) -%}
    nullif(trim(cast({{ column }} as text)), '')
{%- endmacro %}
