{#- dbt doesn't check the contract of a materialized view: its columns would have any types that the query gives. -#}
{% macro postgres__get_create_materialized_view_as_sql(relation, sql) -%}
    {%- if config.get('contract').enforced %}{{ get_assert_columns_equivalent(sql) }}{% endif -%}
    create materialized view if not exists {{ relation }} as {{ sql }};
    {% for index in config.get('indexes', []) -%}
        {{ get_create_index_sql(relation, index) }}{{ ';' if not loop.last }}
    {% endfor -%}
{%- endmacro %}
