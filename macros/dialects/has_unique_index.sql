{#- Whether a unique index makes these columns' values distinct, as a condition. -#}
{% macro has_unique_index(relation, columns) -%}
    {{ adapter.dispatch('has_unique_index')(relation, columns) }}
{%- endmacro %}

{#- A data test may read a subquery, which has no index. -#}
{% macro postgres__has_unique_index(relation, columns) -%}
    {%- if (relation | string).startswith('(') -%}
        false
    {%- else -%}
        exists (
            select from pg_index
            where
                indrelid = '{{ relation }}'::regclass
                and indisunique
                and indisvalid
                and indpred is null
                and indexprs is null
                and '{{ columns | sort | join(', ') }}' = (
                    select string_agg(attname::text, ', ' order by attname::text collate "C")
                    from pg_attribute
                    where attrelid = indrelid and attnum = any(indkey)
                )
        )
    {%- endif -%}
{%- endmacro %}

{% macro spark__has_unique_index(relation, columns) -%}
    false
{%- endmacro %}
