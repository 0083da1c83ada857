{#- The columns that dbt compares with a model's, in a contract, with their types on Spark. -#}
{% macro spark__get_empty_schema_sql(columns) -%}
    select
        {% for column in columns.values() -%}
            cast(null as {{ spark_type(column) }}) as {{ column.name }}{{ ',' if not loop.last }}
        {% endfor %}
{%- endmacro %}
