{{ config(
    unique_key=['shop_id'],
    meta={'upstream': 'customers', 'keys': ['shop_id']},
    indexes=[{'columns': ['shop_id'], 'unique': true}]
) }}

with

customers as (
    select * from {{ ref('customers') }}
    where {{ in_batch() }}
),

-- A rank less one is how many customers have a smaller value, so equal values share it.
ranked as (
    select
        shop_id,
        last_purchase_date,
        total_purchases,
        total_spent,
        rank() over (
            partition by shop_id
            order by last_purchase_date
        ) - 1 as less_recent,
        rank() over (
            partition by shop_id
            order by total_purchases
        ) - 1 as less_frequent,
        rank() over (
            partition by shop_id
            order by total_spent
        ) - 1 as less_spent,
        count(*) over (partition by shop_id) as customers
    from customers
)

select
    shop_id,
    {% for fifth in range(2, 6) -%}
        min(
            case when 5 * less_recent >= {{ fifth - 1 }} * customers then last_purchase_date end
        ) as recency_date_{{ fifth }},
        min(
            case when 5 * less_frequent >= {{ fifth - 1 }} * customers then total_purchases end
        ) as frequency_{{ fifth }},
        min(
            case when 5 * less_spent >= {{ fifth - 1 }} * customers then total_spent end
        ) as monetary_amount_{{ fifth }},
    {% endfor -%}
    count(*) as customers
from ranked
group by shop_id
having count(*) >= {{ fewest_customers() }}
