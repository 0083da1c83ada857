{#-
    Descriptions as comments, where they differ from those that stand; publishing copies them. A mart's refresh doesn't
    look: models that changed make it a rebuild.
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
