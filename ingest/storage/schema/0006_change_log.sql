-- The change log: the keys of the orders, visits, profits, withdrawals, shops and links that changed since
-- the last refresh took them. Statement-level triggers write it, whoever makes the change. It is
-- append-only, so that two transactions never wait for each other here. Old and new keys are
-- recorded, so that a row that moves to another shop leaves the first.

create table regulars.changes (
    entity text not null,
    shop_id uuid not null,
    entity_id uuid not null
);

create function regulars.note_changes() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if tg_op = 'INSERT' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select tg_argv[0], r.shop_id, r.id from new_rows as r where r.shop_id is not null;
    elsif tg_op = 'DELETE' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select tg_argv[0], r.shop_id, r.id from old_rows as r where r.shop_id is not null;
    elsif tg_op = 'UPDATE' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select tg_argv[0], r.shop_id, r.id from old_rows as r where r.shop_id is not null
        union
        select tg_argv[0], r.shop_id, r.id from new_rows as r where r.shop_id is not null;
    else
        execute format(
            'insert into regulars.changes (entity, shop_id, entity_id)
            select %L, r.shop_id, r.id from %s as r where r.shop_id is not null',
            tg_argv[0], tg_relid::regclass
        );
    end if;
    return null;
end
$$;

-- A tracking row is a visit if it has a time of access, and gives its order the customer and the
-- slug.
create function regulars.note_tracking_changes() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if tg_op = 'INSERT' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'visit', r.shop_id, r.id from new_rows as r where r.accessed_at is not null
        union all
        select 'order', r.shop_id, r.shop_order_id
        from new_rows as r
        where r.shop_order_id is not null;
    elsif tg_op = 'DELETE' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'visit', r.shop_id, r.id from old_rows as r where r.accessed_at is not null
        union all
        select 'order', r.shop_id, r.shop_order_id
        from old_rows as r
        where r.shop_order_id is not null;
    elsif tg_op = 'UPDATE' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'visit', r.shop_id, r.id from old_rows as r where r.accessed_at is not null
        union
        select 'visit', r.shop_id, r.id from new_rows as r where r.accessed_at is not null
        union
        select 'order', r.shop_id, r.shop_order_id
        from old_rows as r
        where r.shop_order_id is not null
        union
        select 'order', r.shop_id, r.shop_order_id
        from new_rows as r
        where r.shop_order_id is not null;
    else
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'visit', r.shop_id, r.id from regulars.tracking as r where r.accessed_at is not null
        union all
        select 'order', r.shop_id, r.shop_order_id
        from regulars.tracking as r
        where r.shop_order_id is not null;
    end if;
    return null;
end
$$;

-- A changed time zone moves all orders and visits of a shop to other days: it is logged as an
-- entity of its own.
create function regulars.note_shop_changes() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if tg_op = 'INSERT' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select e.entity, r.id, r.id
        from new_rows as r cross join (values ('shop'), ('shop_time_zone')) as e (entity);
    elsif tg_op = 'DELETE' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select e.entity, r.id, r.id
        from old_rows as r cross join (values ('shop'), ('shop_time_zone')) as e (entity);
    elsif tg_op = 'UPDATE' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'shop', r.id, r.id from old_rows as r
        union
        select 'shop', r.id, r.id from new_rows as r
        union
        select 'shop_time_zone', n.id, n.id
        from new_rows as n
        left join old_rows as o on n.id = o.id
        where o.timezone is distinct from n.timezone;
    else
        insert into regulars.changes (entity, shop_id, entity_id)
        select e.entity, r.id, r.id
        from public.user_shops as r cross join (values ('shop'), ('shop_time_zone')) as e (entity);
    end if;
    return null;
end
$$;

-- A slug that changes moves its visits and orders to another link. The claim finds them, so that the storefront doesn't
-- wait for that here; a slug's key is its hash.
create function regulars.note_slug_changes() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if tg_op in ('DELETE', 'UPDATE') then
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'link', r.shop_id, md5(trim(r.slug))::uuid from old_rows as r;
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'link', r.shop_id, md5(trim(r.slug))::uuid from new_rows as r;
    end if;
    if tg_op = 'TRUNCATE' then
        insert into regulars.changes (entity, shop_id, entity_id)
        select 'link', r.shop_id, md5(trim(r.slug))::uuid from public.shop_slugs as r;
    end if;
    return null;
end
$$;

-- Creates the triggers that log every change of a table with the function that `call` names.
-- `enable always`: rows that arrive by replication or a restore are changes too.
create function regulars.log_changes(relation regclass, call text) returns void
language plpgsql set search_path = ''
as $$
begin
    execute format(
        'create trigger regulars_insert after insert on %1$s
        referencing new table as new_rows for each statement execute function regulars.%2$s;
        create trigger regulars_update after update on %1$s
        referencing old table as old_rows new table as new_rows
        for each statement execute function regulars.%2$s;
        create trigger regulars_delete after delete on %1$s
        referencing old table as old_rows for each statement execute function regulars.%2$s;
        create trigger regulars_truncate before truncate on %1$s
        for each statement execute function regulars.%2$s;
        alter table %1$s enable always trigger regulars_insert;
        alter table %1$s enable always trigger regulars_update;
        alter table %1$s enable always trigger regulars_delete;
        alter table %1$s enable always trigger regulars_truncate;', relation, call
    );
end
$$;

do $$
begin
    perform regulars.log_changes('regulars.tracking', 'note_tracking_changes()');
    perform regulars.log_changes('public.shop_slugs', 'note_slug_changes()');
end
$$;

-- Rows from before the log need no entry: the first refresh is a rebuild.
