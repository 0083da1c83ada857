{#- The numeric of a double precision number, as PostgreSQL writes it: with 15 significant digits. -#}
{% macro exact(column) -%}
    {{ adapter.dispatch('exact')(column) }}
{%- endmacro %}

{% macro postgres__exact(column) -%}
    cast({{ column }} as numeric)
{%- endmacro %}

{#- The extract has PostgreSQL's numeric. -#}
{% macro spark__exact(column) -%}
    cast({{ column }} as decimal(38, 20))
{%- endmacro %}
