{#- The engine's name of a type of the contracts, which name PostgreSQL's. -#}
{% macro data_type(name) -%}
    {{ adapter.dispatch('data_type')(name) }}
{%- endmacro %}

{% macro postgres__data_type(name) -%}
    {{ name }}
{%- endmacro %}

{#-
    Without digits, `decimal` has none after the point. With these a sum keeps 26 before it, and the quotient by a count 16.
    An identifier is a text in lower case, which sorts as PostgreSQL sorts a uuid.
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
