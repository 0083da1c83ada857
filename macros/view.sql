{#-
    dbt swaps a view and drops the old one with all that stands on it, under its readers. Ours is replaced in
    place; only where its columns are no longer those of the old one is it dropped.
-#}
{% materialization view, adapter='postgres' -%}
    {%- set target_relation = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') -%}
        do $replace$
        begin
            create or replace view {{ target_relation }} as {{ sql }};
        exception
            when invalid_table_definition then
                drop view {{ target_relation }} cascade;
                create view {{ target_relation }} as {{ sql }};
        end
        $replace$
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{%- endmaterialization %}
