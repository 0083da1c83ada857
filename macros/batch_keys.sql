{#-
    The keys of a mart that this refresh computes anew, as a query: of the batch's entities where the mart reads
    staging (`meta: {entities: […]}`), of an upstream mart's delta otherwise (`meta: {upstream: …}`).
    `meta: {keys: […]}` names the columns; the first is always shop_id.
-#}
{% macro batch_keys() -%}
    {%- set how = config.get('meta') -%}
    {%- if how.entities is defined -%}
        select shop_id{% if how['keys'] | length > 1 %}, entity_id as {{ how['keys'][1] }}{% endif %}
        from regulars.batch
        where entity in ({{ "'" ~ how.entities | join("', '") ~ "'" }})
    {%- else -%}
        select distinct {{ how['keys'] | join(', ') }}
        from {{ delta_table(how.upstream) }}
        where {{ how['keys'] | join(' is not null and ') }} is not null
    {%- endif -%}
{%- endmacro %}
