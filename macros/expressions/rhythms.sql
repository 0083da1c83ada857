{#-
    The rhythm of every customer, as CTEs ending in `rhythms`. Two views contain it, because published views read no
    other view. `rhythm_state()` names its three conditions, which are null together in a shop without a gap.
-#}
{% macro rhythms() -%}
    {#- A gap is a whole or a half number of days; only one gap is rounded up. -#}
    {%- set at_risk_gaps = 2 -%}
    {%- set lapsed_gaps = 4 -%}
    gaps as (
        select
            shop_id,
            gap_days,
            sum(gaps) over (
                partition by shop_id
                order by gap_days
            ) as gaps_up_to_here,
            sum(gaps) over (partition by shop_id) as all_gaps
        from {{ ref('purchase_gaps') }}
    ),

    -- The mean of the two in the middle, which are the same for an odd number.
    middles as (
        select
            shop_id,
            (
                min(case when 2 * gaps_up_to_here >= all_gaps then gap_days end)
                + min(case when 2 * gaps_up_to_here > all_gaps then gap_days end)
            ) * 0.5 as gap_days
        from gaps
        group by shop_id
    ),

    -- Rounded up once for the shop, not for each customer with the shop's median.
    shop_medians as (
        select
            shop_id,
            gap_days,
            cast(ceil(gap_days) as integer) as days_to_due,
            cast({{ at_risk_gaps }} * gap_days as integer) as days_to_at_risk,
            cast({{ lapsed_gaps }} * gap_days as integer) as days_to_lapsed
        from middles
    ),

    -- Distinct, so that the clock is read once for each shop.
    days as (
        select distinct
            shop_id,
            {{ shop_today('time_zone') }} as today
        from {{ ref('shops') }}
    ),

    met as (
        select
            customers.shop_id,
            customers.shop_customer_id,
            customers.median_gap_days,
            customers.total_purchases >= 3 and customers.median_gap_days is not null as has_own,
            customers.first_purchase_date,
            customers.last_purchase_date,
            customers.total_spent,
            days.today,
            shop_medians.gap_days as shop_gap_days,
            shop_medians.days_to_due,
            shop_medians.days_to_at_risk,
            shop_medians.days_to_lapsed
        from {{ ref('customers') }} as customers
        inner join days on customers.shop_id = days.shop_id
        left join shop_medians on customers.shop_id = shop_medians.shop_id
    ),

    dated as (
        select
            shop_id,
            shop_customer_id,
            case when has_own then median_gap_days else shop_gap_days end as gap_days,
            case when shop_gap_days is not null then not has_own end as uses_shop_median,
            first_purchase_date,
            last_purchase_date,
            total_spent,
            today,
            {{ days_between('last_purchase_date', 'today') }} as days_since,
            last_purchase_date + case
                when has_own then cast(ceil(median_gap_days) as integer)
                else days_to_due
            end as due_on,
            last_purchase_date + case
                when has_own then cast({{ at_risk_gaps }} * median_gap_days as integer)
                else days_to_at_risk
            end as at_risk_from,
            last_purchase_date + case
                when has_own then cast({{ lapsed_gaps }} * median_gap_days as integer)
                else days_to_lapsed
            end as lapsed_from
        from met
    ),

    worded as (
        select
            *,
            case
                when gap_days = 1 then 'day'
                else replace({{ as_text('round(gap_days, 1)') }}, '.0', '') || ' days'
            end as gap_in_words
        from dated
    ),

    rhythms as (
        select
            shop_id,
            shop_customer_id,
            gap_days,
            uses_shop_median,
            first_purchase_date,
            last_purchase_date,
            days_since,
            due_on,
            at_risk_from,
            lapsed_from,
            today >= due_on as is_due,
            today >= at_risk_from as is_at_risk,
            today >= lapsed_from as is_lapsed,
            case
                when gap_days is null then 'nobody has come back to the shop on another day yet'
                when uses_shop_median then 'the shop''s customers buy every ' || gap_in_words
                else 'buys every ' || gap_in_words
            end
            || case
                when days_since <= 0 then '; today'
                when days_since = 1 then '; 1 day ago'
                else '; ' || days_since || ' days ago'
            end as reason,
            round(total_spent * 30 / ({{ days_between('first_purchase_date', 'due_on') }}), 2) as net_per_month
        from worded
    )
{%- endmacro %}
