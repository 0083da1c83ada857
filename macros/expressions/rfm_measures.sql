{#-
    The measures by which customers are ranked: the column of `customers`, the column of `rfm_cuts` with a fifth's
    first value, and a value beyond all others.
-#}
{% macro rfm_measures() -%}
    {{ return([
        {'name': 'recency', 'value': 'last_purchase_date', 'cut': 'recency_date', 'beyond': "date 'infinity'"},
        {'name': 'frequency', 'value': 'total_purchases', 'cut': 'frequency', 'beyond': '9223372036854775807'},
        {'name': 'monetary', 'value': 'total_spent', 'cut': 'monetary_amount', 'beyond': "numeric 'Infinity'"},
    ]) }}
{%- endmacro %}
