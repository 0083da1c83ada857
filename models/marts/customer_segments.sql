{{ config(
    unique_key=['shop_id', 'shop_customer_id'],
    meta={
        'upstream': 'customers',
        'keys': ['shop_id', 'shop_customer_id'],
        'more_keys': 'regraded_customers',
    },
    pre_hook=['{{ collect_more_keys() }}', "{{ planned_without('material') }}"],
    indexes=[
        {'columns': ['shop_id', 'shop_customer_id'], 'unique': true},
        {'columns': ['shop_id', 'segment', 'shop_customer_id']},
    ]
) }}

{#-
    PostgreSQL expects few rows of a batch, since it assumes that the two columns of its key are independent, and
    would compare each of the batch's customers with every shop's fifths.
-#}

with

customers as (
    select * from {{ ref('customers') }}
    where {{ in_batch() }}
),

scored as (
    select
        customers.shop_id,
        customers.shop_customer_id,
        customers.total_spent,
        {{ fifth_of('customers.last_purchase_date', 'rfm_cuts.recency_date') }} as recency_score,
        {{ fifth_of('customers.total_purchases', 'rfm_cuts.frequency') }} as frequency_score,
        {{ fifth_of('customers.total_spent', 'rfm_cuts.monetary_amount') }} as monetary_score
    from customers
    inner join {{ ref('rfm_cuts') }} as rfm_cuts on customers.shop_id = rfm_cuts.shop_id
),

-- A half is rounded up.
valued as (
    select
        *,
        cast(floor((frequency_score + monetary_score + 1) / 2.0) as integer) as value_score
    from scored
),

grid as (
    select * from {{ ref('stg_segment_grid') }}
)

select
    valued.shop_id,
    valued.shop_customer_id,
    valued.recency_score,
    valued.frequency_score,
    valued.monetary_score,
    valued.value_score,
    coalesce(own.segment, by_default.segment, 'unnamed') as segment,
    valued.total_spent
from valued
left join grid as own
    on
        valued.shop_id = own.shop_id
        and valued.recency_score = own.recency_score
        and valued.value_score = own.value_score
left join grid as by_default
    on
        by_default.shop_id is null
        and valued.recency_score = by_default.recency_score
        and valued.value_score = by_default.value_score
