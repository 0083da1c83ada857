-- Fails for a customer whose first touch is not the link of the purchase numbered 1, whose last
-- touch is not the link of the highest, or whose numbers have a gap.
-- Not a failure: a first touch that is null; a purchase need not come by a link.
-- An audit: it reads every purchase there is, so no nightly refresh runs it.
{{ config(tags=['audit']) }}

with

purchases as (
    select
        shop_id,
        shop_customer_id,
        max(purchase_number) as highest,
        count(*) as purchases
    from {{ ref('purchases') }}
    group by shop_id, shop_customer_id
),

touches as (
    select
        customers.shop_id,
        customers.shop_customer_id,
        customers.total_purchases,
        customers.first_source_slug,
        customers.last_source_slug,
        first_purchases.slug as first_slug,
        last_purchases.slug as last_slug
    from {{ ref('customers') }} as customers
    left join {{ ref('purchases') }} as first_purchases
        on
            customers.shop_id = first_purchases.shop_id
            and customers.shop_customer_id = first_purchases.shop_customer_id
            and first_purchases.purchase_number = 1
    left join {{ ref('purchases') }} as last_purchases
        on
            customers.shop_id = last_purchases.shop_id
            and customers.shop_customer_id = last_purchases.shop_customer_id
            and customers.total_purchases = last_purchases.purchase_number
)

select
    purchases.shop_id,
    purchases.shop_customer_id
from purchases
left join touches
    on
        purchases.shop_id = touches.shop_id
        and purchases.shop_customer_id = touches.shop_customer_id
where
    purchases.highest <> purchases.purchases
    or touches.total_purchases is distinct from purchases.purchases
    or touches.first_source_slug is distinct from touches.first_slug
    or touches.last_source_slug is distinct from touches.last_slug
