with

{% set windows = [30, 90, 365] -%}

-- A window that began on a month's last day is over for all customers of the month.
months as (
    select
        {% for days in windows -%}
            {{ shop_today('shops.time_zone') }}
            >= {{ months_later('link_months.month', 1) }} + {{ days }} as is_mature_{{ days }},
        {% endfor -%}
        link_months.*
    from {{ ref('link_months') }} as link_months
    inner join {{ ref('shops') }} as shops on link_months.shop_id = shops.shop_id
),

totals as (
    select
        shop_id,
        link,
        cast(sum(visits) as bigint) as visits,
        cast(sum(converted_visits) as bigint) as converted_visits,
        cast(sum(orders) as bigint) as orders,
        cast(sum(sales) as bigint) as sales,
        cast(sum(new_customers) as bigint) as new_customers,
        cast(sum(returning_customers) as bigint) as returning_customers,
        {% for days in windows -%}
            sum(later_net_amount_{{ days }}) as later_net_amount_{{ days }},
            sum(
                case when is_mature_{{ days }} then later_net_amount_{{ days }} else 0 end
            ) as mature_net_amount_{{ days }},
            cast(
                sum(case when is_mature_{{ days }} then new_customers else 0 end) as bigint
            ) as mature_customers_{{ days }},
        {% endfor -%}
        sum(net_amount) as last_touch_net_amount,
        sum(first_touch_net_amount) as first_touch_net_amount
    from months
    group by shop_id, link
)

select
    totals.shop_id,
    totals.link,
    links.current_slug,
    links.former_slugs,
    totals.visits,
    totals.converted_visits,
    round(1.0 * totals.converted_visits / nullif(totals.visits, 0), 4) as conversion_rate,
    totals.orders,
    totals.sales,
    totals.new_customers,
    totals.returning_customers,
    {% for days in windows -%}
        totals.later_net_amount_{{ days }},
        totals.mature_customers_{{ days }},
        round(
            totals.mature_net_amount_{{ days }} / nullif(totals.mature_customers_{{ days }}, 0), 2
        ) as later_net_per_customer_{{ days }},
    {% endfor -%}
    totals.last_touch_net_amount,
    totals.first_touch_net_amount
from totals
left join {{ ref('links') }} as links
    on
        totals.shop_id = links.shop_id
        and totals.link = links.link
