{#- A number; NULL where it is NaN or infinite. -#}
{% macro finite(column) -%}
    {{ adapter.dispatch('finite')(column) }}
{%- endmacro %}

{% macro postgres__finite(column) -%}
    case
        when cast({{ column }} as numeric) not in ('NaN', 'Infinity', '-Infinity')
            then cast({{ column }} as numeric)
    end
{%- endmacro %}

{#- A decimal is never NaN or infinite: the extract has NULL instead. -#}
{% macro spark__finite(column) -%}
    cast({{ column }} as {{ data_type('numeric') }})
{%- endmacro %}
