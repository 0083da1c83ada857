{#- Where a shop's fifths begin, by one of `rfm_measures`: counted in a rebuild, moved by the changes in a refresh. -#}
{% macro cuts_by(customers, measure) -%}
    {{ moved_cuts(customers, measure) if is_incremental() else counted_cuts(customers, measure) }}
{%- endmacro %}
