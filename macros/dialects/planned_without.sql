{#-
    Runs before a mart's query that PostgreSQL would plan badly, and turns off one kind of step, named as in the
    settings `enable_…`. The mart says why.
-#}
{% macro planned_without(step) -%}
    {{ adapter.dispatch('planned_without')(step) }}
{%- endmacro %}

{% macro postgres__planned_without(step) -%}
    set local enable_{{ step }} = off
{%- endmacro %}

{% macro spark__planned_without(step) -%}
{%- endmacro %}
