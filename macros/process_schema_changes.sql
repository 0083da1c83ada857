{#-
    dbt would add a column to a mart in the transaction that fills it: it locks the mart for as long as that takes, and
    before the views through which its readers come. Ours are added, retyped and retired in moments of their own, by
    `flows.relations` before the build and `regulars.take_columns` at its end.
-#}
{% macro process_schema_changes(on_schema_change, source_relation, target_relation) %}
    {{ return({}) }}
{%- endmacro %}
