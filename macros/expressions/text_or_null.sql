{#- A text without blanks around it; NULL if nothing is left. -#}
{% macro text_or_null(column) -%}
    nullif(trim({{ as_text(column) }}), '')
{%- endmacro %}
