{#-
    Runs after a mart was written, in its transaction. Notes how far the model has read its upstream deltas, so
    that a run which died after this is safely run again. A first build or a rebuild starts an empty delta.
-#}
{% macro close_model() -%}
    {%- if execute -%}
        {%- if not computes_changes_only() -%}
            drop table if exists {{ delta_table(this.identifier) }};
            create table {{ delta_table(this.identifier) }} (
                like {{ this }},
                delta_id bigint not null default nextval('regulars.delta_ids'),
                weight smallint not null
            );
            -- The next refresh's plans depend on how large this is.
            analyze {{ this }};
        {%- endif %}
        insert into regulars.models_read (model, delta_id)
        select '{{ this.identifier }}', case when is_called then last_value else 0 end from regulars.delta_ids
        on conflict (model) do update set delta_id = excluded.delta_id
        where models_read.delta_id < excluded.delta_id;
    {%- endif -%}
{%- endmacro %}
