-- Nested selects and no CTEs: PostgreSQL merges such a view into the query that reads it, and finds
-- the few orders that changed by their keys. With a CTE it would compute every order first.
select
    order_id,
    shop_id,
    {{ without_contact('order_status') }} as order_status,
    {{ without_contact('payment_status') }} as payment_status,
    {{ without_contact('reference_code') }} as reference_code,
    {{ without_contact('network') }} as network,
    volume_gb,
    is_sale,
    is_refunded,
    total_price,
    case when is_sale or is_refunded then total_price else 0 end as gross_amount,
    case when is_refunded then total_price else 0 end as refunded_amount,
    case when is_sale then total_price else 0 end as net_amount,
    case when is_sale then profit_amount else 0 end as profit_amount,
    ordered_at,
    is_timed
from (
    select
        *,
        -- The status policy: all numbers of Regulars depend on these two columns.
        coalesce(
            payment_status = 'completed'
            and order_status in ('pending', 'processing', 'completed'),
            false
        ) as is_sale,
        coalesce(
            payment_status = 'completed' and order_status in ('refunded', 'reversed'),
            false
        ) as is_refunded
    from (
        select
            orders.id as order_id,
            orders.shop_id,
            {{ text_or_null('orders.reference_code') }} as reference_code,
            {{ text_or_null('orders.network') }} as network,
            {{ finite('orders.volume_gb') }} as volume_gb,
            lower(trim({{ as_text('orders.order_status') }})) as order_status,
            lower(trim({{ as_text('orders.payment_status') }})) as payment_status,
            {{ money('orders.total_price') }} as total_price,
            {{ money('orders.profit_amount') }} as profit_amount,
            -- An order without a time is kept, with a date that is visibly wrong.
            coalesce(
                {{ as_utc('orders.created_at') }},
                {{ as_utc('orders.updated_at') }},
                {{ data_type('timestamptz') }} '1970-01-01 00:00:00+00'
            ) as ordered_at,
            coalesce(
                {{ as_utc('orders.created_at') }}, {{ as_utc('orders.updated_at') }}
            ) is not null as is_timed
        from {{ source('storefront', 'shop_orders') }} as orders
        where orders.shop_id is not null
    ) as renamed
) as judged
