{%- set found = [
    ('customers', 'customers', 'total_purchases', 'total_spent', '0'),
    ('cohort_months', 'cohort_months', 'sales', 'net_amount', '0'),
    ('shop_days', 'shop_days', 'sales', 'net_amount', 'refunded_amount'),
    ('slug_months', 'slug_months', 'sales', 'net_amount', '0'),
    ('link_months', 'link_months', 'sales', 'net_amount', '0'),
    ('link_months, first touch', 'link_months', 'first_touch_sales', 'first_touch_net_amount', '0'),
    ('campaign_months', 'campaign_months', 'sales', 'net_amount', '0'),
    (
        'campaign_months, first touch', 'campaign_months',
        'first_touch_sales', 'first_touch_net_amount', '0'
    ),
    ('network_months', 'network_months', 'sales', 'net_amount', '0'),
] -%}
{#- Mart; its expected sales, net and refunded amount, and those found in it. -#}
{%- set expected_of_orders = [
    [
        "'orders'", 0, 0, 0,
        'order_sums.settled_sales', 'order_sums.settled_net', 'order_sums.settled_refunded'
    ],
    ["'shop_days'", 'order_sums.sales', 'order_sums.net', 'order_sums.refunded', 0, 0, 0],
    ["'slug_months'", 'order_sums.sales', 'order_sums.net', 0, 0, 0, 0],
    ["'link_months'", 'order_sums.sales', 'order_sums.net', 0, 0, 0, 0],
    ["'link_months, first touch'", 'order_sums.sales', 'order_sums.net', 0, 0, 0, 0],
    ["'campaign_months'", 'order_sums.sales', 'order_sums.net', 0, 0, 0, 0],
    ["'campaign_months, first touch'", 'order_sums.sales', 'order_sums.net', 0, 0, 0, 0],
    ["'network_months'", 'order_sums.sales', 'order_sums.net', 0, 0, 0, 0],
    ["'purchases'", 'order_sums.linked_sales', 'order_sums.linked_net', 0, 0, 0, 0],
] -%}
{%- set expected_of_purchases = [
    ["'purchases'", 0, 0, 0, 'purchase_sums.sales', 'purchase_sums.net', 0],
    ["'customers'", 'purchase_sums.sales', 'purchase_sums.net', 0, 0, 0, 0],
    ["'cohort_months'", 'purchase_sums.sales', 'purchase_sums.net', 0, 0, 0, 0],
] -%}

with

-- Orders that changed and are not published yet: in the raw rows, and not in the marts that readers
-- see.
waiting as (
    select
        shop_id,
        entity_id as order_id
    from {{ ref('stg_changes') }}
    where entity = 'order'
    union
    select
        shop_id,
        entity_id as order_id
    from {{ ref('stg_batch') }}
    where entity = 'order'
),

raw_sums as (
    select
        orders.shop_id,
        sum(case when orders.is_sale then 1 else 0 end) as sales,
        sum(orders.net_amount) as net_amount,
        sum(orders.refunded_amount) as refunded_amount
    from {{ ref('stg_orders') }} as orders
    left join waiting
        on
            orders.shop_id = waiting.shop_id
            and orders.order_id = waiting.order_id
    where waiting.order_id is null
    group by orders.shop_id
),

order_sums as (
    select
        orders.shop_id,
        sum(
            case when orders.is_sale and waiting.order_id is null then 1 else 0 end
        ) as settled_sales,
        sum(case when waiting.order_id is null then orders.net_amount else 0 end) as settled_net,
        sum(
            case when waiting.order_id is null then orders.refunded_amount else 0 end
        ) as settled_refunded,
        sum(case when orders.is_sale then 1 else 0 end) as sales,
        sum(orders.net_amount) as net,
        sum(orders.refunded_amount) as refunded,
        sum(
            case when orders.is_sale and orders.shop_customer_id is not null then 1 else 0 end
        ) as linked_sales,
        sum(
            case when orders.shop_customer_id is not null then orders.net_amount else 0 end
        ) as linked_net
    from {{ ref('orders') }} as orders
    left join waiting
        on
            orders.shop_id = waiting.shop_id
            and orders.order_id = waiting.order_id
    group by orders.shop_id
),

purchase_sums as (
    select
        shop_id,
        count(*) as sales,
        sum(net_amount) as net
    from {{ ref('purchases') }}
    group by shop_id
),

-- Each mart is compared with its source: a side gives what is expected of it, or what is
-- found in it.
sides as (
    select
        shop_id,
        'orders' as mart,
        sales as expected_sales,
        net_amount as expected_net,
        refunded_amount as expected_refunded,
        0 as found_sales,
        0 as found_net,
        0 as found_refunded
    from raw_sums
    union all
    select
        order_sums.shop_id,
        side.*
    from order_sums
    cross join
        lateral {{ rows_of(expected_of_orders) }} as side
    union all
    select
        purchase_sums.shop_id,
        side.*
    from purchase_sums
    cross join
        lateral {{ rows_of(expected_of_purchases) }} as side
    {% for side, mart, sales, net, refunded in found -%}
        union all
        select
            shop_id,
            '{{ side }}' as mart,
            0 as expected_sales,
            0 as expected_net,
            0 as expected_refunded,
            {{ sales }} as found_sales,
            {{ net }} as found_net,
            {{ refunded }} as found_refunded
        from {{ ref(mart) }}
    {% endfor -%}
),

sums as (
    select
        shop_id,
        mart,
        cast(sum(expected_sales) as bigint) as expected_sales,
        cast(sum(found_sales) as bigint) as found_sales,
        sum(expected_net) as expected_net_amount,
        sum(found_net) as found_net_amount,
        sum(expected_refunded) as expected_refunded_amount,
        sum(found_refunded) as found_refunded_amount
    from sides
    group by shop_id, mart
)

select
    *,
    expected_sales = found_sales
    and expected_net_amount = found_net_amount
    and expected_refunded_amount = found_refunded_amount as is_reconciled
from sums
