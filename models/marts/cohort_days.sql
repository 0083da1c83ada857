{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'first_purchase_date'],
    indexes=[{'columns': ['shop_id', 'first_purchase_date'], 'unique': true}]
) }}

{%- set windows = [30, 60, 90, 180, 365] -%}

with

purchases as (
    select
        *,
        {{ days_between('first_purchase_date', 'order_date') }} as days_since
    from {{ signed_rows(ref('purchases')) }}
),

refunds as (
    select
        *,
        {{ days_between('first_purchase_date', 'order_date') }} as days_since
    from {{ signed_rows(ref('refunds')) }}
),

summands as (
    select
        shop_id,
        first_purchase_date,
        case when purchase_number = 1 then weight else 0 end as customers,
        {% for days in windows -%}
            case
                when purchase_number = 2 and days_since <= {{ days }} then weight else 0
            end as repurchased_{{ days }},
            case when days_since <= {{ days }} then weight else 0 end as purchases_{{ days }},
            0 as refunded_amount_{{ days }},
            case
                when days_since <= {{ days }} then weight * net_amount else 0
            end as net_amount_{{ days }},
            case
                when days_since <= {{ days }} then weight * profit_amount else 0
            end as profit_amount_{{ days }},
        {% endfor -%}
        weight as purchases,
        0 as refunded_orders
    from purchases
    union all
    select
        shop_id,
        first_purchase_date,
        0 as customers,
        {% for days in windows -%}
            0 as repurchased_{{ days }},
            0 as purchases_{{ days }},
            case
                when days_since <= {{ days }} then weight * refunded_amount else 0
            end as refunded_amount_{{ days }},
            0 as net_amount_{{ days }},
            0 as profit_amount_{{ days }},
        {% endfor -%}
        0 as purchases,
        weight as refunded_orders
    from refunds
)

select
    shop_id,
    first_purchase_date,
    sum(customers) as customers,
    {% for days in windows -%}
        sum(repurchased_{{ days }}) as repurchased_{{ days }},
        sum(purchases_{{ days }}) as purchases_{{ days }},
        sum(refunded_amount_{{ days }}) as refunded_amount_{{ days }},
        sum(net_amount_{{ days }}) as net_amount_{{ days }},
        sum(profit_amount_{{ days }}) as profit_amount_{{ days }},
    {% endfor -%}
    sum(purchases) as purchases,
    sum(refunded_orders) as refunded_orders
from summands
group by shop_id, first_purchase_date
