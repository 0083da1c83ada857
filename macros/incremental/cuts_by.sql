{#- Where a shop's fifths begin, by one of `rfm_measures`: in a rebuild counted, in a refresh moved by what changed. -#}
{% macro cuts_by(customers, measure) -%}
    {{ moved_cuts(customers, measure) if is_incremental() else counted_cuts(customers, measure) }}
{%- endmacro %}
