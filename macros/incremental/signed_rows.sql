{#-
    The rows of a mart, each with a weight, for marts of sums: in a refresh what changed since this model last read
    it, +1 for an added row and -1 for a removed one; in a rebuild every row with +1. So `sum(weight * amount)` is the
    whole sum in a rebuild and the difference to it in a refresh.
-#}
{% macro signed_rows(relation) -%}
    {%- if is_incremental() -%}
        (
            select *
            from {{ delta_table(relation.identifier) }}
            where delta_id > coalesce(
                (select delta_id from regulars.delta_offsets where model = '{{ this.identifier }}'), 0
            )
        ) as changes
    {%- else -%}
        (select *, 1 as weight from {{ relation }}) as everything
    {%- endif -%}
{%- endmacro %}
