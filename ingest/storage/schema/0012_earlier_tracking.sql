-- A storefront may have a customer tracking of its own from before Regulars, and its code goes on
-- writing to its table `customer_tracking`. That table knows which link an order came by, so each
-- refresh copies what is new in it. Regulars never writes to it, and never reads its counters of
-- customers.

-- Append-only, so that the storefront's transactions never wait for each other here.
create table regulars.earlier_visits (order_id uuid not null);

-- Whether that table exists and has the columns that are read.
create function regulars.has_earlier_tracking() returns boolean
language sql stable set search_path = ''
as $$
    select count(*) = 9
    from pg_catalog.pg_attribute as a
    where
        a.attrelid = to_regclass('public.customer_tracking')
        and not a.attisdropped
        and a.attname in (
            'id', 'shop_id', 'shop_order_id', 'accessed_via_slug', 'accessed_at', 'referrer',
            'utm_source', 'utm_medium', 'utm_campaign'
        )
$$;

create function regulars.note_earlier_visits() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into regulars.earlier_visits (order_id)
    select distinct r.shop_order_id from new_rows as r where r.shop_order_id is not null;
    return null;
end
$$;

-- Copies the visits of the queued orders from the earlier tracking; returns the number of rows. If
-- an order has several, its first visit counts. Orders that checkout has tracked, and those of
-- erased people, are left as they are.
create function regulars.take_over_earlier_visits() returns bigint
language plpgsql set search_path = ''
as $$
declare
    taken bigint := 0;
begin
    if not regulars.has_earlier_tracking() then
        return taken;
    end if;
    with queued as (
        delete from regulars.earlier_visits returning order_id
    ),

    earlier as (
        select distinct on (e.shop_order_id)
            o.shop_id,
            o.id as order_id,
            e.accessed_via_slug,
            coalesce(
                regulars.as_utc(e.accessed_at), regulars.as_utc(o.created_at), now()
            ) as accessed_at,
            e.referrer,
            e.utm_source,
            e.utm_medium,
            e.utm_campaign
        from (select distinct order_id from queued) as queued
        inner join public.shop_orders as o on queued.order_id = o.id
        inner join public.customer_tracking as e on o.id = e.shop_order_id and o.shop_id = e.shop_id
        order by e.shop_order_id, e.accessed_at, e.id
    )

    insert into regulars.tracking as t (
        shop_id, shop_order_id, accessed_via_slug, accessed_at,
        referrer, utm_source, utm_medium, utm_campaign
    )
    select
        earlier.shop_id, earlier.order_id, earlier.accessed_via_slug, earlier.accessed_at,
        earlier.referrer, earlier.utm_source, earlier.utm_medium, earlier.utm_campaign
    from earlier
    on conflict (shop_order_id) do update
    set
        accessed_via_slug = excluded.accessed_via_slug,
        accessed_at = excluded.accessed_at,
        referrer = excluded.referrer,
        utm_source = excluded.utm_source,
        utm_medium = excluded.utm_medium,
        utm_campaign = excluded.utm_campaign
    where
        t.fingerprint is null
        and t.shop_id = excluded.shop_id
        and not exists (
            select 1
            from regulars.erasures as e
            where e.shop_id = t.shop_id and e.shop_customer_id = t.shop_customer_id
        )
        and (
            t.accessed_via_slug, t.accessed_at, t.referrer,
            t.utm_source, t.utm_medium, t.utm_campaign
        )
        is distinct from (
            excluded.accessed_via_slug, excluded.accessed_at, excluded.referrer,
            excluded.utm_source, excluded.utm_medium, excluded.utm_campaign
        );
    get diagnostics taken = row_count;
    return taken;
end
$$;

do $$
begin
    if regulars.has_earlier_tracking() then
        create trigger regulars_insert after insert on public.customer_tracking
        referencing new table as new_rows
        for each statement execute function regulars.note_earlier_visits();
        create trigger regulars_update after update on public.customer_tracking
        referencing new table as new_rows
        for each statement execute function regulars.note_earlier_visits();
    end if;
end
$$;
