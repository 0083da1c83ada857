{#-
    The months of each shop, as a query: every month with a sale in `sales` (shop_id, month), and those between two of
    them with at most `longest_pause` months in between. So an order with a distant date, or without one, doesn't add
    a thousand empty months. The months depend only on the sales, never on the current day.
-#}
{% macro shop_months(sales, longest_pause=24) -%}
    select
        spans.shop_id,
        cast(series.month as date) as month
    from (
        select
            shop_id,
            month,
            lead(month) over (partition by shop_id order by month) as next_month
        from {{ sales }}
    ) as spans
    {{ join_months(
        'spans.month',
        'case when ' ~ months_apart('spans.month', 'spans.next_month') ~ ' between 1 and '
        ~ (longest_pause + 1) ~ " then spans.next_month - interval '1 month' else spans.month end"
    ) }}
{%- endmacro %}
