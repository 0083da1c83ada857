-- What a refresh keeps: its history, the batch of keys it works on, and how far each model has read.

create table regulars.refreshes (
    refresh_id bigint generated always as identity primary key,
    mode text not null check (mode in ('refresh', 'rebuild')),
    status text not null default 'running'
    check (status in ('running', 'succeeded', 'failed', 'abandoned')),
    -- What the models were when they ran: a refresh over other models is a rebuild.
    fingerprint text not null,
    -- Why it is a rebuild, where nobody asked for one.
    reason text,
    started_at timestamptz not null default clock_timestamp(),
    -- Everything committed before this moment is in the numbers.
    as_of timestamptz,
    finished_at timestamptz,
    changes bigint,
    matched bigint,
    unreadable bigint,
    error text,
    -- What somebody should look at, a sentence each: data tests that warned, and what was put right.
    warnings text[] not null default '{}'
);

-- What changed and isn't published yet. A refresh computes these keys anew; a rebuild computes everything, and only
-- keeps them here so that `analytics.reconciliation` knows which orders the published marts don't have yet.
create table regulars.batch (
    entity text not null,
    shop_id uuid not null,
    entity_id uuid not null,
    primary key (entity, shop_id, entity_id)
);

-- Moves the log's committed rows into the batch, where they wait until they are published. A transaction that commits
-- later lands in the next batch: there is no watermark that it could slip under. Orders without a customer are queued
-- for the next matching, since the log no longer has them after this. Returns how many keys wait in the batch.
create function regulars.claim_changes() returns bigint
language plpgsql set search_path = ''
as $$
begin
    with moved as (
        delete from regulars.changes returning entity, shop_id, entity_id
    ),

    moved_shops as (
        select distinct m.shop_id from moved as m where m.entity = 'shop_time_zone'
    ),

    moved_slugs as (
        select
            t.shop_id,
            t.id as visit_id,
            t.shop_order_id as order_id
        from moved as m
        inner join regulars.tracking as t
            on m.shop_id = t.shop_id and m.entity_id = md5(trim(t.accessed_via_slug))::uuid
        where m.entity = 'link'
    ),

    queued as (
        insert into regulars.orders_to_match (order_id, shop_id)
        select u.order_id, u.shop_id
        from moved as m
        inner join regulars.unmatched_orders as u on m.entity_id = u.order_id
        where m.entity = 'order'
    )

    insert into regulars.batch (entity, shop_id, entity_id)
    select m.entity, m.shop_id, m.entity_id from moved as m where m.entity <> 'shop_time_zone'
    union
    select 'order', o.shop_id, o.id from public.shop_orders as o inner join moved_shops as s on o.shop_id = s.shop_id
    union
    select 'visit', t.shop_id, t.id from regulars.tracking as t inner join moved_shops as s on t.shop_id = s.shop_id
    union
    select 'order', s.shop_id, s.order_id from moved_slugs as s where s.order_id is not null
    union
    select 'visit', s.shop_id, s.visit_id from moved_slugs as s
    on conflict do nothing;
    -- The models' plans depend on how small the batch is.
    analyze regulars.batch;
    return (select count(*) from regulars.batch);
end
$$;

-- Every row of every delta table has a number from here, and a model remembers the last that it has read, in
-- the transaction in which it used it: so a run that died half-way is simply run again.
create sequence regulars.delta_ids;

create table regulars.delta_offsets (
    model text primary key,
    delta_id bigint not null
);

-- The relations in schema `analytics` that Regulars made: it drops those that no model makes any more, and leaves
-- alone what somebody else put there.
create table regulars.published (
    name text primary key
);

-- When each shop's marts were last held against its raw orders.
create table regulars.reconciled_shops (
    shop_id uuid primary key,
    reconciled_at timestamptz not null
);
