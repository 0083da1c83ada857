{#- dbt would look for changed indexes. `regulars refresh` makes a view anew whose model changed. -#}
{% macro postgres__get_materialized_view_configuration_changes(existing_relation, new_config) %}
    {{ return(none) }}
{%- endmacro %}
