{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id'],
    indexes=[{'columns': ['shop_id'], 'unique': true}]
) }}

with

entries as (
    select * from {{ signed_rows(ref('ledger_entries')) }}
)

select
    shop_id,
    sum(weight) as entries,
    sum(
        case when kind = 'profit' and status = 'credited' then weight * amount else 0 end
    ) as credited_profit,
    sum(
        case
            when kind = 'withdrawal' and status in ('approved', 'processing', 'completed')
                then weight * amount
            else 0
        end
    ) as withdrawn,
    sum(
        case when kind = 'withdrawal' and status = 'pending' then weight else 0 end
    ) as pending_withdrawals
from entries
group by shop_id
