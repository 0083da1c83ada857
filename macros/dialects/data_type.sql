{#- The engine's name of a contract's type, which is PostgreSQL's name. -#}
{% macro data_type(name) -%}
    {{ adapter.dispatch('data_type')(name) }}
{%- endmacro %}

{% macro postgres__data_type(name) -%}
    {{ name }}
{%- endmacro %}

{#-
    Without a scale, `decimal` has no digits after the point. With these a sum keeps 26 before it, and the quotient by
    a count 16. A uuid is a text in lower case, which sorts as a uuid does in PostgreSQL.
-#}
{% macro spark__data_type(name) -%}
    {{ {
        'numeric': 'decimal(38, 12)',
        'text': 'string',
        'timestamp with time zone': 'timestamp',
        'timestamptz': 'timestamp',
        'uuid': 'string',
    }.get(name, name) }}
{%- endmacro %}
