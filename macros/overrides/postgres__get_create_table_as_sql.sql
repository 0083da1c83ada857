{#-
    With the variable `is_loaded`, a mart's table is made as ever, with its columns, indexes and hooks, but without rows:
    Spark has computed them, and `flows/spark/load.py` copies them in.
-#}
{% macro postgres__get_create_table_as_sql(temporary, relation, sql) -%}
    {%- if var('is_loaded', false) and not temporary -%}
        {%- set sql = 'select * from (' ~ sql ~ ') as computed limit 0' -%}
    {%- endif -%}
    {{ default__get_create_table_as_sql(temporary, relation, sql) }}
{%- endmacro %}
