{#- The present moment; on Spark the extract's. -#}
{% macro current_moment() -%}
    {{ adapter.dispatch('current_moment')() }}
{%- endmacro %}

{% macro postgres__current_moment() -%}
    current_timestamp
{%- endmacro %}

{% macro spark__current_moment() -%}
    regulars.as_of()
{%- endmacro %}
