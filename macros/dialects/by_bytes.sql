{#- A text that sorts by its bytes, so that the order doesn't depend on the database's collation. -#}
{% macro by_bytes(text) -%}
    {{ adapter.dispatch('by_bytes')(text) }}
{%- endmacro %}

{% macro postgres__by_bytes(text) -%}
    {{ text }} collate "C"
{%- endmacro %}

{% macro spark__by_bytes(text) -%}
    {{ text }}
{%- endmacro %}
