{#-
    One side of a union of summands: for each of `keys` in `rows`, every measure, which is the sum of its expression
    in `given`, or 0. Each side is summed by itself, because a union of all rows would be sorted on disk.
-#}
{% macro summands(rows, keys, measures, given) -%}
    select
        {{ keys | join(', ') }}
        {%- for measure in measures %},
        {{ 'sum(' ~ given[measure] ~ ')' if measure in given else '0' }} as {{ measure }}
        {%- endfor %}
    from {{ rows }}
    group by
        {%- for key in keys %}
        {{ key.partition(' as ')[0] }}{{ ',' if not loop.last }}
        {%- endfor %}
{%- endmacro %}
