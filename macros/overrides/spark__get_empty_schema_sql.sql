{#- What dbt compares a model's columns with, in a contract: the types that these have on Spark. -#}
{% macro spark__get_empty_schema_sql(columns) -%}
    select
        {% for column in columns.values() -%}
            cast(null as {{ spark_type(column) }}) as {{ column.name }}{{ ',' if not loop.last }}
        {% endfor %}
{%- endmacro %}
