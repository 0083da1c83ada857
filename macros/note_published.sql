{#- Notes which query a materialized view was built from, in the transaction that built it. -#}
{% macro note_published() -%}
    {%- if execute -%}
        insert into regulars.published (name, query_hash)
        values ('{{ this.identifier }}', '{{ query_hash() }}')
        on conflict (name) do update set query_hash = excluded.query_hash
        where published.query_hash <> excluded.query_hash
    {%- endif -%}
{%- endmacro %}
