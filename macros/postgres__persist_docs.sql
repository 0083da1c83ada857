{#-
    Descriptions as comments, only where they differ; publishing copies them. A mart's refresh doesn't look, because
    changed models make it a rebuild.
-#}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- if config.persist_relation_docs() and not is_incremental() -%}
        {%- set columns = {} -%}
        {%- for column in model.columns.values() -%}
            {%- do columns.update({column.name: column.description | trim}) -%}
        {%- endfor -%}
        {%- do run_query(
            "select regulars.comment_on('" ~ relation.include(database=false) ~ "', '"
            ~ (model.description | trim | replace("'", "''")) ~ "', '" ~ (tojson(columns) | replace("'", "''")) ~ "')"
        ) -%}
    {%- endif -%}
{%- endmacro %}
