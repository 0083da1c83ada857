{#- The columns, each qualified with its relation's name. -#}
{% macro prefixed(name, columns) -%}
    {%- for column in columns -%}
        {{ name }}.{{ column }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
