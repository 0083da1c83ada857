{#-
    What a materialized view is made of: its query, its indexes, and the columns of the marts that it reads, since one
    that is of another type now is another column, which the view that stands doesn't read.
-#}
{% macro query_hash() -%}
    {%- set read = [] -%}
    {%- for name in model.depends_on.nodes -%}
        {%- for column in graph.nodes[name].columns.values() if name in graph.nodes -%}
            {%- do read.append(name ~ ' ' ~ column.name ~ ' ' ~ column.data_type) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ local_md5(model['compiled_code'] ~ config.get('indexes') ~ read) }}
{%- endmacro %}
