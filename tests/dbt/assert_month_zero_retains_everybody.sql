-- Fails for a cohort of which somebody did not buy in the very month that made them one of it, and
-- for a cohort without such a month.
-- Not a failure: a rate that rises again later; a customer may pause.
select
    shop_id,
    cohort_month
from {{ ref('cohort_retention') }}
where {{ in_changed_shops() }}
group by shop_id, cohort_month
having
    sum(case when months_since = 0 and active_customers = cohort_size then 1 else 0 end) <> 1
    or max(active_customers) > max(cohort_size)
