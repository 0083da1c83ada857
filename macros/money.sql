{#- An amount that can be added up: nothing, NaN and infinity count as 0, so that one bad row spoils no sum. -#}
{% macro money(column) -%}
    case
        when cast({{ column }} as numeric) in ('NaN', 'Infinity', '-Infinity') then 0
        else coalesce(cast({{ column }} as numeric), 0)
    end
{%- endmacro %}
