{#- The texts of a group joined into one, separated by commas and sorted by another column; NULLs are left out. -#}
{% macro listed(texts, sorted_by) -%}
    {{ adapter.dispatch('listed')(texts, sorted_by) }}
{%- endmacro %}

{% macro postgres__listed(texts, sorted_by) -%}
    string_agg(
        {{ texts }}, ', ' order by {{ sorted_by }}
    )
{%- endmacro %}

{% macro spark__listed(texts, sorted_by) -%}
    listagg(
        {{ texts }}, ', '
    ) within group (order by {{ sorted_by }})
{%- endmacro %}
