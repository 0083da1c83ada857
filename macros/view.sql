{#-
    dbt swaps a view and drops the old one with all that stands on it, under its readers. Ours is replaced in
    place; only where its columns are no longer those of the old one does a new one take its name, and what reads it
    is made again.
-#}
{% materialization view, adapter='postgres' -%}
    {%- set target_relation = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if config.get('contract').enforced %}{{ get_assert_columns_equivalent(sql) }}{% endif -%}
    {% call statement('main') -%}
        select regulars.replace_view('{{ this.include(database=false) }}', $view${{ sql }}$view$)
    {%- endcall %}
    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{%- endmaterialization %}
