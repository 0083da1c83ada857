select
    id as profit_id,
    shop_id,
    {{ without_contact('lower(trim(' ~ as_text('status') ~ '))') }} as status,
    {{ money('profit_amount') }} as amount,
    {{ as_utc('created_at') }} as created_at
from {{ source('storefront', 'shop_profits') }}
where shop_id is not null
