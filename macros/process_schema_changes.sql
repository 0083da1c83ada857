{#-
    A refresh builds on the mart that stands, so a mart whose columns are not the model's any more is refused, with what
    to do. `regulars refresh` never gets here: where the models changed it is a rebuild.
-#}
{% macro process_schema_changes(on_schema_change, source_relation, target_relation) %}
    {%- set found = adapter.get_columns_in_relation(target_relation) -%}
    {%- if found | map(attribute='name') | sort != model['columns'] | list | sort -%}
        {{ exceptions.raise_compiler_error(
            'The columns of ' ~ target_relation ~ ' are no longer those of its model: run `regulars refresh`, '
            ~ 'which computes it anew.'
        ) }}
    {%- endif -%}
    {{ return(found) }}
{% endmacro %}
