{#-
    What readers are shown of a mart until this refresh publishes, as a query of the columns; no rows before the first.
-#}
{% macro published(mart, columns) -%}
    {%- set is_there = execute and run_query(
        "select 1 where to_regclass('analytics." ~ mart ~ "') is not null"
    ).rows | length > 0 -%}
    select
        {%- for column, data_type in columns.items() %}
        {{ column if is_there else 'cast(null as ' ~ data_type ~ ') as ' ~ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    {%- if is_there %}
    from analytics.{{ mart }}
    {%- else %}
    where false
    {%- endif %}
{%- endmacro %}
