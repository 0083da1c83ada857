{#- The storefront's timestamp, naive UTC or not, as timestamptz; NULL from an infinite one. -#}
{% macro as_utc(column) -%}
    {{ adapter.dispatch('as_utc')(column) }}
{%- endmacro %}

{% macro postgres__as_utc(column) -%}
    case when isfinite({{ column }}) then regulars.as_utc({{ column }}) end
{%- endmacro %}

{#- A naive timestamp is read in the session's time zone, UTC. The extract has this moment for an infinite one. -#}
{% macro spark__as_utc(column) -%}
    nullif(cast({{ column }} as timestamp), timestamp '9999-12-31 23:59:59.987654+00')
{%- endmacro %}
