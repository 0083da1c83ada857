{#-
    An order's contributions to the measures of a link's or a campaign's month, for `summands`. A sale without a known
    customer has one touch, its own.
-#}
{% macro order_measures() -%}
    {{ return({
        'orders': 'weight',
        'converted_visits': 'case when is_sale and has_visit then weight else 0 end',
        'sales': 'case when is_sale then weight else 0 end',
        'net_amount': 'weight * net_amount',
        'first_touch_sales': 'case when is_sale and shop_customer_id is null then weight else 0 end',
        'first_touch_net_amount': 'case when shop_customer_id is null then weight * net_amount else 0 end',
    }) }}
{%- endmacro %}
