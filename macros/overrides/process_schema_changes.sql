{#-
    A refresh builds on the existing mart, so it is refused if its columns are no longer the model's; the message says
    what to do. `regulars refresh` never gets here: it recomputes changed models.
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
