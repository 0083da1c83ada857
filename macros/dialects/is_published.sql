{#- Whether this mart has been published. -#}
{% macro is_published(mart) -%}
    {{ return(adapter.dispatch('is_published')(mart)) }}
{%- endmacro %}

{% macro postgres__is_published(mart) -%}
    {{ return(run_query(
        "select 1 where to_regclass('analytics." ~ mart ~ "') is not null"
    ).rows | length > 0) }}
{%- endmacro %}

{#- In the extract, whose relations are of one moment. -#}
{% macro spark__is_published(mart) -%}
    {%- set tables = run_query('show tables in analytics').columns['tableName'].values() -%}
    {{ return(mart in tables) }}
{%- endmacro %}
