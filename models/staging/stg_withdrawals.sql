select
    id as withdrawal_id,
    shop_id,
    lower(trim(cast(status as text))) as status,
    {{ money('amount') }} as amount,
    {{ as_utc('created_at') }} as created_at
from {{ source('storefront', 'withdrawal_requests') }}
where shop_id is not null
