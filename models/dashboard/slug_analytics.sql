{{ config(indexes=[{'columns': ['shop_id', 'slug'], 'unique': true}]) }}

with

slugs as (
    select
        shop_id,
        slug,
        cast(sum(visits) as bigint) as visits,
        cast(sum(converted_visits) as bigint) as converted_visits,
        cast(sum(sales) as bigint) as sales,
        cast(sum(customers) as bigint) as customers,
        cast(sum(new_customers) as bigint) as new_customers,
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
