{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'slug', 'month'],
    indexes=[{'columns': ['shop_id', 'slug', 'month'], 'unique': true}]
) }}

with

orders as (
    select * from {{ signed_rows(ref('orders')) }}
    where is_sale
),

purchases as (
    select * from {{ signed_rows(ref('purchases')) }}
),

visits as (
    select * from {{ signed_rows(ref('visits')) }}
),

summands as (
    select
        shop_id,
        slug,
        visit_month as month,
        weight * visit_count as visits,
        0 as converted_visits,
        0 as sales,
        0 as customers,
        0 as new_customers,
        0 as net_amount
    from visits
    union all
    select
        shop_id,
        slug,
        order_month as month,
        0 as visits,
        case when has_visit then weight else 0 end as converted_visits,
        weight as sales,
        0 as customers,
        0 as new_customers,
        weight * net_amount as net_amount
    from orders
    union all
    select
        shop_id,
        slug,
        order_month as month,
        0 as visits,
        0 as converted_visits,
        0 as sales,
        case when is_first_with_slug then weight else 0 end as customers,
        case when purchase_number = 1 then weight else 0 end as new_customers,
        0 as net_amount
    from purchases
)

select
    shop_id,
    coalesce(slug, 'unknown') as slug,
    month,
    sum(visits) as visits,
    sum(converted_visits) as converted_visits,
    sum(sales) as sales,
    sum(customers) as customers,
    sum(new_customers) as new_customers,
    sum(net_amount) as net_amount
from summands
group by shop_id, coalesce(slug, 'unknown'), month
