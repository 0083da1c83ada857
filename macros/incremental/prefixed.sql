{#- The columns, each with the name of the relation that it is of. -#}
{% macro prefixed(name, columns) -%}
    {%- for column in columns -%}
        {{ name }}.{{ column }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
