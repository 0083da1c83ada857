{#-
    Runs before a mart with `meta: {more_keys: …}`, the name of a macro with a query of further keys. A table, because
    the keys are read twice, and the planner must know how many they are, or it reads everything.
-#}
{% macro collect_more_keys() -%}
    {%- if is_incremental() -%}
        create temporary table more_keys on commit drop as
        {{ context[config.get('meta').more_keys]() }};
        analyze more_keys;
    {%- endif -%}
{%- endmacro %}
