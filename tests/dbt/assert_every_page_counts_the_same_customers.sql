-- Fails for a shop whose cards, months, links and cohorts, read side by side, show different
-- numbers of customers.
-- Not a failure: customers of links that add up to more than there are; one who used several counts
-- at each, but is new at one alone, and new customers are what is compared here.
with

pages as (
    select
        shop_id,
        total_customers as customers
    from {{ ref('shop_overview') }}
    where
        total_orders > 0
        and {{ in_changed_shops() }}
    union all
    select
        shop_id,
        sum(new_customers) as customers
    from {{ ref('monthly_acquisition') }}
    where {{ in_changed_shops() }}
    group by shop_id
    union all
    select
        shop_id,
        sum(new_customers) as customers
    from {{ ref('slug_analytics') }}
    where
        sales > 0
        and {{ in_changed_shops() }}
    group by shop_id
    union all
    select
        shop_id,
        sum(cohort_size) as customers
    from {{ ref('cohort_retention') }}
    where
        months_since = 0
        and {{ in_changed_shops() }}
    group by shop_id
)

select
    shop_id,
    min(customers) as fewest_customers,
    max(customers) as most_customers
from pages
group by shop_id
having min(customers) <> max(customers)
