{#- A text as it is sorted by its bytes: what comes first is then the same whatever the database's collation is. -#}
{% macro by_bytes(text) -%}
    {{ adapter.dispatch('by_bytes')(text) }}
{%- endmacro %}

{% macro postgres__by_bytes(text) -%}
    {{ text }} collate "C"
{%- endmacro %}

{% macro spark__by_bytes(text) -%}
    {{ text }}
{%- endmacro %}
