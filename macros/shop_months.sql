{#-
    The months of each shop, as a query: every month with a sale in `sales` (shop_id, month), and those between two of
    them, where no more than two years lie between. So an order dated far off, or without a date, has its month and
    brings no thousand empty ones; and what is filled in hangs on the sales alone, never on the day.
-#}
{% macro shop_months(sales) -%}
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
    cross join lateral {{ month_series(
        'spans.month',
        'case when ' ~ months_apart('spans.month', 'spans.next_month') ~ ' between 1 and 25'
        ~ " then spans.next_month - interval '1 month' else spans.month end"
    ) }} as series (month)
{%- endmacro %}
