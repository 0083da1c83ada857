{{ config(indexes=[{'columns': ['shop_id', 'slug'], 'unique': true}]) }}

with

slugs as (
    select
        shop_id,
        slug,
        sum(visits) as visits,
        sum(converted_visits) as converted_visits,
        sum(sales) as sales,
        sum(customers) as customers,
        sum(new_customers) as new_customers,
        sum(net_amount) as net_amount
    from {{ ref('slug_months') }}
    group by shop_id, slug
)

select
    shop_id,
    slug,
    visits,
    converted_visits,
    sales,
    customers,
    new_customers,
    net_amount,
    round(1.0 * converted_visits / nullif(visits, 0), 4) as conversion_rate
from slugs
