{#- Models that changed make a refresh a rebuild, which makes every view anew: nothing is left to look for. -#}
{% macro postgres__get_materialized_view_configuration_changes(existing_relation, new_config) %}
    {{ return(none) }}
{%- endmacro %}
