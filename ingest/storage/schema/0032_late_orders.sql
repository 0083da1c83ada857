-- An order that came after the matching had looked (0029) waits once, so that a matching that has stopped keeps no
-- sale out of the numbers. Otherwise as before.

create table regulars.late_orders (
    order_id uuid primary key
);

create or replace function regulars.claim_changes() returns bigint
language plpgsql set search_path = ''
as $$
begin
    with unseen as (
        select u.order_id
        from regulars.changes as c
        inner join regulars.unmatched_orders as u on c.entity_id = u.order_id
        where
            c.entity = 'order'
            and not exists (select 1 from regulars.orders_to_match as q where q.order_id = u.order_id)
            and not exists (select 1 from regulars.late_orders as l where l.order_id = u.order_id)
    ),

    waited as (
        delete from regulars.late_orders
    ),

    waits as (
        insert into regulars.late_orders (order_id)
        select distinct u.order_id from unseen as u
    ),

    moved as (
        delete from regulars.changes as c
        where c.entity <> 'order' or c.entity_id not in (select u.order_id from unseen as u)
        returning c.entity, c.shop_id, c.entity_id
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
    )

    insert into regulars.batch (entity, shop_id, entity_id)
    select k.entity, k.shop_id, k.entity_id
    from (
        select m.entity, m.shop_id, m.entity_id from moved as m where m.entity <> 'shop_time_zone'
        union
        select 'order', o.shop_id, o.id
        from public.shop_orders as o
        inner join moved_shops as s on o.shop_id = s.shop_id
        union
        select 'visit', t.shop_id, t.id from regulars.tracking as t inner join moved_shops as s on t.shop_id = s.shop_id
        union
        select 'order', s.shop_id, s.order_id from moved_slugs as s where s.order_id is not null
        union
        select 'visit', s.shop_id, s.visit_id from moved_slugs as s
    ) as k
    where k.entity <> 'order' or k.entity_id not in (select u.order_id from unseen as u)
    on conflict do nothing;
    -- The models' plans depend on how small the batch is.
    analyze regulars.batch;
    return (select count(*) from regulars.batch);
end
$$;

do $$
begin
    perform regulars.revoke_from_strangers();
end
$$;
