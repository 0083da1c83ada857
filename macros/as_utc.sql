{#- A timestamptz from the storefront's timestamp, naive UTC or not; NULL from an infinite one. -#}
{% macro as_utc(column) -%}
    case when isfinite({{ column }}) then regulars.as_utc({{ column }}) end
{%- endmacro %}
