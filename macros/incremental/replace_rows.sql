{#-
    Makes the target's rows of the given keys those of `source`: removes those that are gone or differ, inserts those
    that are new, and writes both to the model's delta. Equal rows are not touched.

    keys: a query of the keys, with the columns `key_columns`.
-#}
{% macro replace_rows(target, source, columns, unique_key, key_columns, keys) -%}
    {%- set names = columns | join(', ') -%}
    with removed as (
        delete from {{ target }} as standing
        using ({{ keys }}) as changed
        where
            {% for column in key_columns -%}
            standing.{{ column }} = changed.{{ column }} and
            {% endfor %}
            not exists (
                select 1
                from {{ source }} as computed
                where
                    {% for column in unique_key -%}
                    computed.{{ column }} = standing.{{ column }} and
                    {% endfor -%}
                    ({{ prefixed('computed', columns) }})
                    is not distinct from ({{ prefixed('standing', columns) }})
            )
        returning {{ prefixed('standing', columns) }}
    )
    insert into {{ delta_table(target.identifier) }} ({{ names }}, weight)
    select {{ names }}, -1 from removed;

    with added as (
        insert into {{ target }} ({{ names }})
        select {{ names }}
        from {{ source }} as computed
        where
            not exists (
                select 1
                from {{ target }} as standing
                where
                    {% for column in unique_key -%}
                    standing.{{ column }} = computed.{{ column }}{{ ' and ' if not loop.last }}
                    {%- endfor %}
            )
        -- Sorted, so that all rows are compared before the first is inserted: planned for an empty table, the comparison
        -- would read what was inserted again for every row.
        order by {{ unique_key | join(', ') }}
        returning {{ names }}
    )
    insert into {{ delta_table(target.identifier) }} ({{ names }}, weight)
    select {{ names }}, 1 from added;
{%- endmacro %}
