{#- Strategy `replace_keys`: the query computed all rows of the changed keys; they replace the mart's. -#}
{% macro get_incremental_replace_keys_sql(arg_dict) -%}
    {{ replace_rows(
        target=arg_dict.target_relation,
        source=arg_dict.temp_relation,
        columns=arg_dict.dest_columns | map(attribute='name') | list,
        unique_key=arg_dict.unique_key,
        key_columns=config.get('meta')['keys'],
        keys=batch_keys()
    ) }}
    analyze {{ delta_table(arg_dict.target_relation.identifier) }};
{%- endmacro %}
