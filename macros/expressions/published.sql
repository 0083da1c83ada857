{#-
    A mart's published rows before this refresh, as a query of the columns; no rows before the first.
-#}
{% macro published(mart, columns) -%}
    {%- set is_there = execute and is_published(mart) -%}
    select
        {%- for column, type in columns.items() %}
        {{ column if is_there else 'cast(null as ' ~ data_type(type) ~ ') as ' ~ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    {%- if is_there %}
    from analytics.{{ mart }}
    {%- else %}
    where false
    {%- endif %}
{%- endmacro %}
