{{ config(
    unique_key=['shop_id', 'order_id'],
    meta={'upstream': 'orders', 'keys': ['shop_id', 'shop_customer_id']},
    indexes=[
        {'columns': ['shop_id', 'order_id'], 'unique': true},
        {'columns': ['shop_id', 'shop_customer_id']},
    ]
) }}

with

sales as (
    select * from {{ ref('orders') }}
    where
        is_sale
        and shop_customer_id is not null
        and {{ in_batch() }}
),

-- Two purchases of one moment are distinguished by their order_id, so that every run puts them the
-- same way round.
placed as (
    select
        *,
        row_number() over (
            partition by shop_id, shop_customer_id
            order by ordered_at, order_id
        ) as purchase_number,
        first_value(order_month) over (
            partition by shop_id, shop_customer_id
            order by ordered_at, order_id
        ) as cohort_month,
        row_number() over (
            partition by shop_id, shop_customer_id, order_date
            order by ordered_at, order_id
        ) as number_in_day,
        row_number() over (
            partition by shop_id, shop_customer_id, order_month
            order by ordered_at, order_id
        ) as number_in_month,
        -- As slug_months names them: a link that is called `unknown` is one with what has none.
        row_number() over (
            partition by shop_id, shop_customer_id, coalesce(slug, 'unknown')
            order by ordered_at, order_id
        ) as number_with_slug
    from sales
)

select
    order_id,
    shop_id,
    shop_customer_id,
    ordered_at,
    order_date,
    order_month,
    cohort_month,
    slug,
    network,
    net_amount,
    profit_amount,
    purchase_number,
    number_in_day = 1 as is_first_of_day,
    number_in_month = 1 as is_first_of_month,
    number_with_slug = 1 as is_first_with_slug,
    -- A customer who comes back in a month is counted at one purchase of it: their second ever if
    -- it falls in their first month, their first of the month otherwise.
    (order_month > cohort_month and number_in_month = 1)
    or (order_month = cohort_month and purchase_number = 2) as is_return_of_month
from placed
