{{ config(
    unique_key=['shop_id', 'shop_customer_id', 'changed_at'],
    meta={
        'upstream': ['customers', 'customer_segments'],
        'keys': ['shop_id', 'shop_customer_id'],
    },
    indexes=[{'columns': ['shop_id', 'shop_customer_id', 'changed_at'], 'unique': true}]
) }}

-- A record of what readers were shown, which only the published rows tell. A refresh and a rebuild
-- add the difference between those and what they are about to publish.
with

recorded as (
    {{ published('segment_changes', {
        'shop_id': 'uuid',
        'shop_customer_id': 'uuid',
        'changed_at': 'timestamptz',
        'from_segment': 'text',
        'to_segment': 'text',
    }) }}
),

shown as (
    {{ published('customer_segments', {
        'shop_id': 'uuid',
        'shop_customer_id': 'uuid',
        'segment': 'text',
    }) }}
),

customer_segments as (
    select * from {{ ref('customer_segments') }}
    where {{ in_batch() }}
),

running as (
    select max(as_of) as as_of from {{ ref('stg_refreshes') }}
    where status = 'running'
),

changed as (
    select
        customer_segments.shop_id,
        customer_segments.shop_customer_id,
        shown.segment as from_segment,
        customer_segments.segment as to_segment
    from customer_segments
    inner join shown
        on
            customer_segments.shop_id = shown.shop_id
            and customer_segments.shop_customer_id = shown.shop_customer_id
            and customer_segments.segment <> shown.segment
),

segment_changes as (
    select
        shop_id,
        shop_customer_id,
        changed_at,
        from_segment,
        to_segment
    from recorded
    where {{ in_batch() }}
    union all
    select
        changed.shop_id,
        changed.shop_customer_id,
        running.as_of as changed_at,
        changed.from_segment,
        changed.to_segment
    from changed
    cross join running
    where running.as_of is not null
)

-- A customer who is deleted leaves the record.
select *
from segment_changes
where
    exists (
        select 1
        from {{ ref('customers') }} as customers
        where
            customers.shop_id = segment_changes.shop_id
            and customers.shop_customer_id = segment_changes.shop_customer_id
    )
