{#-
    The keys of a mart that this refresh recomputes, as a query: of the batch's entities where the mart reads staging
    (`meta: {entities: […]}`), of an upstream mart's delta otherwise (`meta: {upstream: …}`), or of several. `meta:
    {keys: […]}` names the columns; the first is always shop_id. `meta: {more_keys: …}` adds those of
    `collect_more_keys`, whose rows change when others do.
-#}
{% macro batch_keys() -%}
    {%- set how = config.get('meta') -%}
    {%- if how.entities is defined -%}
        select shop_id{% if how['keys'] | length > 1 %}, entity_id as {{ how['keys'][1] }}{% endif %}
        from regulars.batch
        where entity in ({{ "'" ~ how.entities | join("', '") ~ "'" }})
    {%- else -%}
        {%- set upstreams = [how.upstream] if how.upstream is string else how.upstream -%}
        {%- for upstream in upstreams -%}
            {{ ' union ' if not loop.first }}select distinct {{ how['keys'] | join(', ') }}
            from {{ delta_table(upstream) }}
            where {{ how['keys'] | join(' is not null and ') }} is not null
        {%- endfor -%}
    {%- endif -%}
    {%- if how.more_keys is defined %} union select {{ how['keys'] | join(', ') }} from more_keys{% endif -%}
{%- endmacro %}
