{#-
    Under which name a mart's table has each of the model's columns: its own; or, of a column that is new or of a new
    type, the one under which it is filled, until `regulars.take_columns` gives it its name.
-#}
{% macro standing_columns(found) -%}
    {%- set found = found | map(attribute='name') | list -%}
    {%- set standing = {} -%}
    {%- for column in model['columns'] -%}
        {%- if column ~ '__next' in found -%}
            {%- do standing.update({column: column ~ '__next'}) -%}
        {%- elif column in found -%}
            {%- do standing.update({column: column}) -%}
        {%- else -%}
            {{ exceptions.raise_compiler_error(
                'The table has no column ' ~ column ~ ': `regulars refresh` adds it without keeping readers waiting.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(standing) }}
{%- endmacro %}
