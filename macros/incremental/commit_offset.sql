{#-
    Runs after a mart was written, in its transaction. Notes how far the model has read its upstream deltas, so that
    the next run after a kill applies no delta twice. A first build or a rebuild starts an empty delta.
-#}
{% macro commit_offset() -%}
    {{ adapter.dispatch('commit_offset')() }}
{%- endmacro %}

{% macro postgres__commit_offset() -%}
    {%- if execute and not var('audit', false) -%}
        {%- if not is_incremental() -%}
            -- The next refresh's plans depend on how large this is.
            analyze {{ this }};
            drop table if exists {{ delta_table(this.identifier) }};
            create table {{ delta_table(this.identifier) }} as
            select * from {{ this }} limit 0;
            alter table {{ delta_table(this.identifier) }}
            add column delta_id bigint not null default nextval('regulars.delta_ids'),
            add column weight smallint not null;
        {%- endif %}
        insert into regulars.delta_offsets (model, delta_id)
        select '{{ this.identifier }}', case when is_called then last_value else 0 end from regulars.delta_ids
        on conflict (model) do update set delta_id = excluded.delta_id
        where delta_offsets.delta_id < excluded.delta_id;
    {%- endif -%}
{%- endmacro %}

{#- Spark computes everything: there are no deltas. -#}
{% macro spark__commit_offset() -%}
{%- endmacro %}
