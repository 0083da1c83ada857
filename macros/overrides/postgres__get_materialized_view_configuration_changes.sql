{#- dbt would look for changed indexes. `regulars refresh` recreates a view whose model changed. -#}
{% macro postgres__get_materialized_view_configuration_changes(existing_relation, new_config) %}
    {{ return(none) }}
{%- endmacro %}
