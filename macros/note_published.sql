{#- Notes which query a materialized view was built from, in the transaction that built it. -#}
{% macro note_published() -%}
    {%- if execute -%}
        insert into regulars.published (name, body)
        values ('{{ this.identifier }}', '{{ body_hash() }}')
        on conflict (name) do update set body = excluded.body
        where published.body <> excluded.body
    {%- endif -%}
{%- endmacro %}
