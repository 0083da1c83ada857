{#-
    A materialized view whose query stands as it was built is left alone here: `flows.publishing` refreshes all of
    them in one transaction, so that no reader sees one refresh's cards beside another's charts. Where the query or
    its indexes changed, dbt would refresh the old one: the new one is built beside it and takes its name.
-#}
{% macro postgres__refresh_materialized_view(relation) -%}
    {%- set built = run_query("select query_hash from regulars.published where name = '" ~ relation.identifier ~ "'") -%}
    {%- if built.rows | length == 1 and built.rows[0][0] == query_hash() -%}
        select 1
    {%- else -%}
        {%- set next = relation.incorporate(path={'identifier': relation.identifier ~ '__next'}) -%}
        drop materialized view if exists {{ next }};
        {{ postgres__get_create_materialized_view_as_sql(next, model['compiled_code']) }};
        -- Refreshed, its rows are frozen: a reader whose snapshot is older than this view sees them. PostgreSQL 17
        -- and later build it so at once; before, it would seem empty to that reader.
        refresh materialized view {{ next }};
        select regulars.replace_materialized_view(
            '{{ relation.include(database=false) }}', '{{ next.include(database=false) }}'
        )
    {%- endif -%}
{%- endmacro %}

{#- dbt holds a materialized view to no contract: what its columns' types are said to be, nobody would look at. -#}
{% macro postgres__get_create_materialized_view_as_sql(relation, sql) -%}
    {%- if config.get('contract').enforced %}{{ get_assert_columns_equivalent(sql) }}{% endif -%}
    create materialized view if not exists {{ relation }} as {{ sql }};
    {% for index in config.get('indexes', []) -%}
        {{ get_create_index_sql(relation, index) }}{{ ';' if not loop.last }}
    {% endfor -%}
{%- endmacro %}

{#- Changed indexes are seen by the hash above; dbt's own answer to them would skip the refresh. -#}
{% macro postgres__get_materialized_view_configuration_changes(existing_relation, new_config) %}
    {{ return(none) }}
{%- endmacro %}
