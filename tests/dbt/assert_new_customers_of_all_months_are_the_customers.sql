-- Fails for a shop of which some customer is new in no month, or in several.
-- Not a failure: a customer of the storefront without a sale; nobody is a customer here before the
-- first one.
-- An audit: it reads every customer there is, so no nightly refresh runs it.
{{ config(tags=['audit']) }}

with

new_ones as (
    select
        shop_id,
        month,
        new_customers
    from {{ ref('monthly_acquisition') }}
    where new_customers > 0
),

customers as (
    select
        shop_id,
        first_purchase_month as month,
        count(*) as customers
    from {{ ref('customers') }}
    group by shop_id, first_purchase_month
)

select
    coalesce(new_ones.shop_id, customers.shop_id) as shop_id,
    coalesce(new_ones.month, customers.month) as month,
    new_ones.new_customers,
    customers.customers
from new_ones
full outer join customers
    on
        new_ones.shop_id = customers.shop_id
        and new_ones.month = customers.month
where new_ones.new_customers is distinct from customers.customers
