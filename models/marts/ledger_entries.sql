{{ config(
    unique_key=['shop_id', 'entry_id', 'kind'],
    meta={'entities': ['profit', 'withdrawal'], 'keys': ['shop_id', 'entry_id']},
    indexes=[{'columns': ['shop_id', 'entry_id', 'kind'], 'unique': true}]
) }}

with

profits as (
    select
        profit_id as entry_id,
        shop_id,
        'profit' as kind,
        status,
        amount,
        created_at
    from {{ ref('stg_profits') }}
),

withdrawals as (
    select
        withdrawal_id as entry_id,
        shop_id,
        'withdrawal' as kind,
        status,
        amount,
        created_at
    from {{ ref('stg_withdrawals') }}
),

-- Each side is restricted to the changes before the union: PostgreSQL doesn't push the condition
-- into it.
entries as (
    select * from profits
    where {{ in_batch() }}
    union all
    select * from withdrawals
    where {{ in_batch() }}
)

select * from entries
