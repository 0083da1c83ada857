{#- The type on Spark of a contract's column; `meta: {scale: …}` is how many digits a numeric has after the point. -#}
{% macro spark_type(column) -%}
    {%- set scale = column.meta.scale -%}
    {{ 'decimal(38, ' ~ scale ~ ')' if scale else data_type(column.data_type) }}
{%- endmacro %}
