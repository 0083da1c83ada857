{#- A text without blanks around it; NULL if nothing is left. -#}
{% macro text_or_null(column) -%}
    nullif(trim(cast({{ column }} as text)), '')
{%- endmacro %}
