select
    id as withdrawal_id,
    shop_id,
    {{ without_contact('lower(trim(' ~ as_text('status') ~ '))') }} as status,
    {{ money('amount') }} as amount,
    {{ as_utc('created_at') }} as created_at
from {{ source('storefront', 'withdrawal_requests') }}
where shop_id is not null
