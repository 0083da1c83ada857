{% macro body_hash() -%}
    {{ local_md5(model['compiled_code'] ~ config.get('indexes')) }}
{%- endmacro %}
