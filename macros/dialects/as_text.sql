{#- A value as a text. -#}
{% macro as_text(value) -%}
    cast({{ value }} as {{ data_type('text') }})
{%- endmacro %}
