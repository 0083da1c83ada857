{#- The columns of a table in the order and with the types of its contract, so that a count is a bigint here, too. -#}
{% macro spark__get_select_subquery(sql) -%}
    select
        {% for column in model['columns'].values() -%}
            cast({{ column.name }} as {{ spark_type(column) }}) as {{ column.name }}{{ ',' if not loop.last }}
        {% endfor %}
    from (
        {{ sql }}
    ) as computed
{%- endmacro %}
