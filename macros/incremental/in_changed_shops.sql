{#-
    The condition that keeps a data test of whole shops to those with a change in the batch, so that it costs what
    changed; `true` in `dbt test` and in a rebuild.
-#}
{% macro in_changed_shops() -%}
    {%- if target.type == 'postgres' and invocation_args_dict.which == 'build' and not flags.FULL_REFRESH -%}
        shop_id in (select shop_id from regulars.batch)
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
