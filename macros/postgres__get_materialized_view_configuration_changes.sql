{#- dbt would look for changed indexes. Changed models make a refresh a rebuild, which makes every view anew. -#}
{% macro postgres__get_materialized_view_configuration_changes(existing_relation, new_config) %}
    {{ return(none) }}
{%- endmacro %}
