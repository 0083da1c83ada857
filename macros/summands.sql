{#-
    One side of a union of summands: the rows of `rows` with the columns `keys`, and every measure: what `given` says
    it adds up for each row, otherwise 0.
-#}
{% macro summands(rows, keys, measures, given) -%}
    select
        {{ keys | join(', ') }}
        {%- for measure in measures %},
        {{ given.get(measure, '0') }} as {{ measure }}
        {%- endfor %}
    from {{ rows }}
{%- endmacro %}
