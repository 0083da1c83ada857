{#-
    Strategy `sum_deltas`: the query summed up what changed (see `signed_rows`); each key's sums are added to the mart's.
    Every column that is not a key is a sum, and some count the rows that are summed up: a key whose sums are all
    zero has no rows left and is removed.

    It is exact: the sums are integers and numerics. Theory: the weights are those of Z-sets in Budiu et al., "DBSP:
    Automatic Incremental View Maintenance", VLDB 2023.
-#}
{% macro get_incremental_sum_deltas_sql(arg_dict) -%}
    {%- set columns = arg_dict.dest_columns | map(attribute='name') | list -%}
    {%- set keys = arg_dict.unique_key -%}
    {%- set sums = columns | reject('in', keys) | list -%}
    -- Renumbering a customer's purchases changes few sums: keys without a change aren't read.
    delete from {{ arg_dict.temp_relation }} where {{ sums | join(' = 0 and ') }} = 0;
    create temporary table sum_deltas on commit drop as
    select
        {{ keys | join(', ') }},
        {% for column in sums -%}
        sum({{ column }}) as {{ column }}{{ ', ' if not loop.last }}
        {% endfor %}
    from (
        select {{ columns | join(', ') }} from {{ arg_dict.temp_relation }}
        union all
        select {{ columns | join(', ') }} from {{ arg_dict.target_relation }}
        where ({{ keys | join(', ') }}) in (select {{ keys | join(', ') }} from {{ arg_dict.temp_relation }})
    ) as summands
    group by {{ keys | join(', ') }}
    having not ({{ 'sum(' ~ sums | join(') = 0 and sum(') ~ ') = 0' }});
    {{ replace_rows(
        target=arg_dict.target_relation,
        source='sum_deltas',
        columns=columns,
        unique_key=keys,
        key_columns=keys,
        keys='select ' ~ keys | join(', ') ~ ' from ' ~ arg_dict.temp_relation
    ) }}
    -- Readers of a delta of sums select its rows by these columns.
    analyze {{ delta_table(arg_dict.target_relation.identifier) }} ({{ keys | join(', ') }});
{%- endmacro %}
