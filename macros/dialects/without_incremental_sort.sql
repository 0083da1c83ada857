{#-
    Runs before a mart that groups all orders by many columns. PostgreSQL would read them one by one in the order of an
    index on the shop, all over the table, to sort each shop's by the other columns.
-#}
{% macro without_incremental_sort() -%}
    {{ adapter.dispatch('without_incremental_sort')() }}
{%- endmacro %}

{% macro postgres__without_incremental_sort() -%}
    set local enable_incremental_sort = off
{%- endmacro %}

{% macro spark__without_incremental_sort() -%}
{%- endmacro %}
