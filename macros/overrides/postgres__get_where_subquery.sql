{#-
    The rows that a data test reads. In a refresh (`dbt build`, not a rebuild) a test on a mart reads the rows that
    this refresh wrote, so that its cost follows the changes; `dbt test` and a rebuild read everything.
-#}
{% macro postgres__get_where_subquery(relation) -%}
    {%- set mart = graph.nodes.get('model.regulars.' ~ relation.identifier) if execute -%}
    {%- if (
        mart and mart.config.materialized == 'incremental'
        and invocation_args_dict.which == 'build' and not flags.FULL_REFRESH
    ) -%}
        {%- set keys = mart.config.unique_key | join(', ') -%}
        {%- set changed -%}
            (
                select * from {{ relation }}
                where ({{ keys }}) in (select {{ keys }} from {{ delta_table(relation.identifier) }} where weight = 1)
            ) changed_rows
        {%- endset -%}
        {{ return(changed) }}
    {%- endif -%}
    {{ return(default__get_where_subquery(relation)) }}
{%- endmacro %}
