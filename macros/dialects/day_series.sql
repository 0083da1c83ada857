{#- Midnight of every day from one day to another, both included, for a query's FROM. -#}
{% macro day_series(first_day, last_day) -%}
    {{ adapter.dispatch('day_series')(first_day, last_day) }}
{%- endmacro %}

{% macro postgres__day_series(first_day, last_day) -%}
    generate_series(
        timestamp '{{ first_day }}',
        cast({{ last_day }} as timestamp),
        interval '1 day'
    )
{%- endmacro %}

{#- The last day may be a function's result, which Spark doesn't allow in a generator of rows. -#}
{% macro spark__day_series(first_day, last_day) -%}
    (
        select explode(sequence(
            timestamp '{{ first_day }}', cast(last_day as timestamp), interval '1 day'
        ))
        from (select {{ last_day }} as last_day) as given
    )
{%- endmacro %}
