{#- Descriptions as comments, only where they differ. Publishing copies them. -#}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- if config.persist_relation_docs() -%}
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
