{#- The state of a customer from the conditions that `rhythms()` has; null where the shop has no gap. -#}
{% macro rhythm_state() -%}
    case
        when is_lapsed then 'lapsed'
        when is_at_risk then 'at risk'
        when is_due then 'due'
        when not is_due then 'active'
    end
{%- endmacro %}
