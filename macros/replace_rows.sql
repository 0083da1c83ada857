{#-
    Makes the target hold exactly the rows of `source` under the given keys: removes those that are gone or differ,
    inserts those that are new, and writes both to the model's delta. Rows that are equal are not touched.

    columns: each column's name in `source`, and the one that the target has for it (see standing_columns).
    keys: a query of the keys, or none: the whole table (a rebuild, which needs no delta: all that reads it is
    computed anew as well).
-#}
{% macro replace_rows(target, source, columns, unique_key, key_columns, keys=none) -%}
    {%- set names = columns | join(', ') -%}
    {%- set targets = columns.values() | join(', ') -%}
    {%- set removed -%}
        delete from {{ target }} as standing
        {%- if keys is not none %}
        using ({{ keys }}) as changed
        where
            {% for column in key_columns -%}
            standing.{{ columns[column] }} = changed.{{ column }} and
            {% endfor %}
        {%- else %}
        where
        {%- endif %}
            not exists (
                select 1
                from {{ source }} as computed
                where
                    {% for column in unique_key -%}
                    computed.{{ column }} = standing.{{ columns[column] }} and
                    {% endfor -%}
                    ({{ prefixed('computed', columns) }})
                    is not distinct from ({{ prefixed('standing', columns.values()) }})
            )
    {%- endset -%}
    {%- set added -%}
        insert into {{ target }} ({{ targets }})
        select {{ names }}
        from {{ source }} as computed
        where
            not exists (
                select 1
                from {{ target }} as standing
                where
                    {% for column in unique_key -%}
                    standing.{{ columns[column] }} = computed.{{ column }}{{ ' and ' if not loop.last }}
                    {%- endfor %}
            )
    {%- endset -%}
    {%- if keys is none -%}
        {{ removed }};
        {{ added }};
    {%- else -%}
        with removed as (
            {{ removed }}
            returning {{ prefixed('standing', columns.values()) }}
        )
        insert into {{ delta_table(target.identifier) }} ({{ names }}, weight)
        select {{ targets }}, -1 from removed;

        with added as (
            {{ added }}
            returning {{ targets }}
        )
        insert into {{ delta_table(target.identifier) }} ({{ names }}, weight)
        select {{ targets }}, 1 from added;

        analyze {{ delta_table(target.identifier) }};
    {%- endif -%}
{%- endmacro %}

{% macro prefixed(name, columns) -%}
    {%- for column in columns -%}
        {{ name }}.{{ column }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
