{{ config(
    unique_key=['shop_id', 'month', 'network'],
    meta={'upstream': ['network_months', 'cohort_months'], 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id', 'month', 'network'], 'unique': true}]
) }}

with

networks as (
    select * from {{ ref('network_months') }}
    where {{ in_batch() }}
),

months as (
    select
        shop_id,
        order_month as month,
        sum(active_customers) as active_customers
    from {{ ref('cohort_months') }}
    where {{ in_batch() }}
    group by shop_id, order_month
)

select
    networks.shop_id,
    networks.month,
    networks.network,
    networks.sales,
    networks.net_amount,
    networks.active_customers,
    round(
        1.0 * networks.sales
        / sum(networks.sales) over (partition by networks.shop_id, networks.month), 4
    ) as share_of_sales,
    -- A customer of two networks counts at each, so these shares can add up to more than 1.
    round(
        1.0 * networks.active_customers / nullif(months.active_customers, 0), 4
    ) as share_of_customers
from networks
left join months
    on
        networks.shop_id = months.shop_id
        and networks.month = months.month
