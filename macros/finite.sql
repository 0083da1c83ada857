{#- A number; NULL where it is NaN or infinite. -#}
{% macro finite(column) -%}
    case
        when cast({{ column }} as numeric) not in ('NaN', 'Infinity', '-Infinity')
            then cast({{ column }} as numeric)
    end
{%- endmacro %}
