-- Matching orders with customers: at checkout, one order in one call; later, in bulk from Python.

-- Orders whose phone can't be read, and why. The row stays until the phone or the shop's country
-- changes; until then the order is not tried again.
create table regulars.unreadable_phones (
    order_id uuid primary key references public.shop_orders (id) on delete cascade,
    shop_id uuid not null,
    reason text not null,
    noted_at timestamptz not null default now()
);

-- The queue of orders to match. A row stays until the order is matched or its phone is recorded as
-- unreadable. Append-only, without a key on the order: a transaction of the storefront that has
-- queued an order and stays open keeps nobody waiting.
create table regulars.orders_to_match (
    queue_id bigint generated always as identity primary key,
    order_id uuid not null,
    shop_id uuid not null,
    -- The order's phone, its shop or the shop's country changed: its present customer may be wrong.
    has_changed boolean not null default false,
    noted_at timestamptz not null default now()
);

create index orders_to_match_by_order on regulars.orders_to_match (order_id);

-- Checkouts that failed, as they were received. Each refresh tries them again.
create table regulars.failures (
    order_id uuid not null,
    shop_id uuid not null,
    event jsonb not null,
    reason text not null,
    tries int not null default 1,
    noted_at timestamptz not null default now(),
    primary key (order_id, shop_id)
);

-- Checkouts of an order that was tracked before with other facts. The first facts stand; these are
-- stored for somebody to look at.
create table regulars.conflicts (
    order_id uuid not null references public.shop_orders (id) on delete cascade,
    shop_id uuid not null,
    fingerprint uuid not null,
    event jsonb not null,
    noted_at timestamptz not null default now(),
    primary key (order_id, fingerprint)
);

-- Orders that have neither a customer nor a reason why not.
create view regulars.unmatched_orders as
select
    o.id as order_id,
    o.shop_id
from public.shop_orders as o
left join regulars.tracking as t on o.id = t.shop_order_id and o.shop_id = t.shop_id
left join regulars.unreadable_phones as n on o.id = n.order_id
where o.shop_id is not null and t.shop_customer_id is null and n.order_id is null;

create function regulars.note_changed_phone() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from regulars.unreadable_phones as n where n.order_id = new.id;
    -- An erased person's order keeps its customer, whatever happens to its phone.
    if not exists (
        select 1
        from regulars.tracking as t
        inner join regulars.erasures as e
            on t.shop_id = e.shop_id and t.shop_customer_id = e.shop_customer_id
        where t.shop_order_id = new.id and t.shop_id = new.shop_id
    ) then
        insert into regulars.orders_to_match (order_id, shop_id, has_changed)
        values (new.id, new.shop_id, true);
    end if;
    return null;
end
$$;

-- A local spelling means another number in another country, so all orders of the shop are matched
-- again.
create function regulars.note_changed_country() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from regulars.unreadable_phones as n where n.shop_id = new.id;
    insert into regulars.orders_to_match (order_id, shop_id, has_changed)
    select o.id, o.shop_id, true
    from public.shop_orders as o
    left join regulars.tracking as t on o.id = t.shop_order_id and o.shop_id = t.shop_id
    left join regulars.erasures as e
        on t.shop_id = e.shop_id and t.shop_customer_id = e.shop_customer_id
    where o.shop_id = new.id and o.customer_phone <> '' and e.shop_id is null;
    return null;
end
$$;

-- Deletes a deleted shop's rows in tables that have no foreign key to it. The proofs of its
-- erasures stay.
create function regulars.forget_deleted_shops() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from regulars.tracking as t using old_rows as r where t.shop_id = r.id;
    delete from regulars.failures as f using old_rows as r where f.shop_id = r.id;
    delete from regulars.conflicts as c using old_rows as r where c.shop_id = r.id;
    return null;
end
$$;
