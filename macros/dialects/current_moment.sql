{#- When this is computed; on Spark the moment that the extract is of. -#}
{% macro current_moment() -%}
    {{ adapter.dispatch('current_moment')() }}
{%- endmacro %}

{% macro postgres__current_moment() -%}
    current_timestamp
{%- endmacro %}

{% macro spark__current_moment() -%}
    regulars.as_of()
{%- endmacro %}
