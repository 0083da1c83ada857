-- Fails for a month in which a customer is neither new nor returning, or both.
-- Not a failure: a month whose sales outnumber its customers; some buy twice, and some sales have
-- no known customer.
select
    shop_id,
    month,
    new_customers,
    returning_customers,
    active_customers
from {{ ref('monthly_acquisition') }}
where active_customers <> new_customers + returning_customers
