with

changes_of_month as (
    select
        segment_changes.shop_id,
        segment_changes.shop_customer_id,
        segment_changes.from_segment,
        row_number() over (
            partition by segment_changes.shop_id, segment_changes.shop_customer_id
            order by segment_changes.changed_at
        ) as number_in_month
    from {{ ref('segment_changes') }} as segment_changes
    inner join {{ ref('shops') }} as shops on segment_changes.shop_id = shops.shop_id
    where
        {{ local_date('segment_changes.changed_at', 'shops.time_zone') }}
        >= {{ month_of(shop_today('shops.time_zone')) }}
),

-- From the segment at the month's beginning to the present one, without those in between.
moves as (
    select
        customer_segments.shop_id,
        changes_of_month.from_segment,
        customer_segments.segment as to_segment
    from changes_of_month
    inner join {{ ref('customer_segments') }} as customer_segments
        on
            changes_of_month.shop_id = customer_segments.shop_id
            and changes_of_month.shop_customer_id = customer_segments.shop_customer_id
    where
        changes_of_month.number_in_month = 1
        and changes_of_month.from_segment <> customer_segments.segment
),

counted as (
    select
        shop_id,
        segment,
        count(*) as customers,
        sum(total_spent) as net_amount,
        0 as moved_in,
        0 as moved_out
    from {{ ref('customer_segments') }}
    group by shop_id, segment
    union all
    select
        shop_id,
        to_segment as segment,
        0 as customers,
        0 as net_amount,
        count(*) as moved_in,
        0 as moved_out
    from moves
    group by shop_id, to_segment
    union all
    select
        shop_id,
        from_segment as segment,
        0 as customers,
        0 as net_amount,
        0 as moved_in,
        count(*) as moved_out
    from moves
    group by shop_id, from_segment
)

select
    shop_id,
    segment,
    cast(sum(customers) as bigint) as customers,
    sum(net_amount) as net_amount,
    cast(sum(moved_in) as bigint) as moved_in,
    cast(sum(moved_out) as bigint) as moved_out
from counted
group by shop_id, segment
