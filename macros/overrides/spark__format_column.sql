{#-
    A column as a contract compares it: every integer type is an integer, and a decimal is a numeric. Through Thrift
    an `int` is called `INT_TYPE`.
-#}
{% macro spark__format_column(column) -%}
    {%- set data_type = column.dtype.lower().split('(')[0].removesuffix('_type') -%}
    {%- set kind = {'int': 'integer', 'bigint': 'integer', 'decimal': 'numeric'}.get(data_type, data_type) -%}
    {{ return({'name': column.name, 'data_type': kind, 'formatted': column.name.lower() ~ ' ' ~ kind}) }}
{%- endmacro %}
