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

-- Two purchases of one moment are ordered by their order_id, so that every run numbers them alike.
placed as (
    select
        *,
        row_number() over by_customer as purchase_number,
        first_value(order_month) over by_customer as cohort_month,
        first_value(order_date) over by_customer as first_purchase_date,
        first_value(link) over by_customer as first_link,
        first_value(utm_source) over by_customer as first_utm_source,
        first_value(utm_medium) over by_customer as first_utm_medium,
        first_value(utm_campaign) over by_customer as first_utm_campaign,
        lag(order_date) over by_customer as previous_purchase_date,
        lag(order_month) over by_customer as previous_purchase_month,
        row_number() over (
            partition by shop_id, shop_customer_id, order_date
            order by ordered_at, order_id
        ) as number_in_day,
        row_number() over (
            partition by shop_id, shop_customer_id, order_month
            order by ordered_at, order_id
        ) as number_in_month,
        -- As in slug_months: a link named `unknown` and no link are one.
        row_number() over (
            partition by shop_id, shop_customer_id, coalesce(slug, 'unknown')
            order by ordered_at, order_id
        ) as number_with_slug,
        row_number() over (
            partition by shop_id, shop_customer_id, coalesce(link, 'unknown')
            order by ordered_at, order_id
        ) as number_with_link,
        row_number() over (
            partition by shop_id, shop_customer_id, network
            order by ordered_at, order_id
        ) as number_with_network,
        row_number() over (
            partition by shop_id, shop_customer_id, network, order_month
            order by ordered_at, order_id
        ) as number_with_network_in_month
    from sales
    window by_customer as (
        partition by shop_id, shop_customer_id
        order by ordered_at, order_id
    )
),

-- The main network is the one bought most often so far; of several, the last to reach that number.
-- Of these texts of fixed width, the greatest so far is that one.
preferred as (
    select
        *,
        substr(
            max(
                lpad({{ as_text('number_with_network') }}, 9, '0')
                || lpad({{ as_text('purchase_number') }}, 9, '0')
                || network
            ) over (
                partition by shop_id, shop_customer_id
                order by purchase_number
            ),
            19
        ) as main_network
    from placed
)

select
    order_id,
    shop_id,
    shop_customer_id,
    ordered_at,
    order_date,
    order_month,
    cohort_month,
    first_purchase_date,
    previous_purchase_month,
    slug,
    link,
    first_link,
    first_utm_source,
    first_utm_medium,
    first_utm_campaign,
    network,
    main_network,
    lag(main_network) over (
        partition by shop_id, shop_customer_id
        order by purchase_number
    ) as previous_main_network,
    net_amount,
    profit_amount,
    purchase_number,
    case when network is not null then number_with_network end as number_with_network,
    case
        when number_in_day = 1 and previous_purchase_date < order_date
            then {{ days_between('previous_purchase_date', 'order_date') }}
    end as gap_days,
    number_in_day = 1 as is_first_of_day,
    number_in_month = 1 as is_first_of_month,
    number_in_month = 2 as is_second_of_month,
    number_with_slug = 1 as is_first_with_slug,
    number_with_link = 1 as is_first_with_link,
    number_with_network_in_month = 1 as is_first_with_network_of_month,
    -- A customer who comes back in a month is counted at one purchase of it: their second ever if
    -- it falls in their first month, their first of the month otherwise.
    (order_month > cohort_month and number_in_month = 1)
    or (order_month = cohort_month and purchase_number = 2) as is_return_of_month
from preferred
