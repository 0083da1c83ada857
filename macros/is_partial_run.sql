{#- True while a mart computes only what changed; false on its first build and in a rebuild. -#}
{% macro is_partial_run() -%}
    {{ return(is_incremental() and not flags.FULL_REFRESH) }}
{%- endmacro %}
