{#-
    dbt swaps a view and drops the old one with everything that reads it. This replaces it in place. If its columns
    change, a new view takes its name, and the views that read it are recreated. `meta: {as_reader: true}` makes a
    view that reads with its reader's rights, so that owners may read it.
-#}
{% materialization view, adapter='postgres' -%}
    {%- set target_relation = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if config.get('contract').enforced %}{{ get_assert_columns_equivalent(sql) }}{% endif -%}
    {% call statement('main') -%}
        select regulars.replace_view(
            '{{ this.include(database=false) }}', $view${{ sql }}$view$, {{ config.get('meta').get('as_reader', false) }}
        )
    {%- endcall %}
    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{%- endmaterialization %}
