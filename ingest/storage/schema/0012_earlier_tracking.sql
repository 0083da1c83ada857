-- Where the storefront has a customer tracking of its own from before Regulars, its table `customer_tracking` goes on
-- being written to by the storefront's code. It knows by which link an order came, so it is one more source: each
-- refresh takes over what is new in it. It is never written to, and its counters of customers are never read.

-- Append-only, so that the storefront's transactions never wait for each other here.
create table regulars.earlier_visits (order_id uuid not null);

-- True where that table stands and has the columns that are read.
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

-- Takes over what the earlier tracking noted of the queued orders. Of several rows of one order the first visit counts.
-- What checkout told Regulars itself, and the orders of the erased, are left as they are. Returns the number of rows.
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

    told as (
        select distinct on (e.shop_order_id)
            o.shop_id,
            o.id as order_id,
            e.accessed_via_slug,
            coalesce(regulars.as_utc(e.accessed_at), regulars.as_utc(o.created_at), now()) as accessed_at,
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
        shop_id, shop_order_id, accessed_via_slug, accessed_at, referrer, utm_source, utm_medium, utm_campaign
    )
    select
        told.shop_id, told.order_id, told.accessed_via_slug, told.accessed_at, told.referrer, told.utm_source,
        told.utm_medium, told.utm_campaign
    from told
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
        and (t.accessed_via_slug, t.accessed_at, t.referrer, t.utm_source, t.utm_medium, t.utm_campaign)
        is distinct from (
            excluded.accessed_via_slug, excluded.accessed_at, excluded.referrer, excluded.utm_source,
            excluded.utm_medium, excluded.utm_campaign
        );
    get diagnostics taken = row_count;
    return taken;
end
$$;

do $$
begin
    if regulars.has_earlier_tracking() then
        create trigger regulars_insert after insert on public.customer_tracking
        referencing new table as new_rows for each statement execute function regulars.note_earlier_visits();
        create trigger regulars_update after update on public.customer_tracking
        referencing new table as new_rows for each statement execute function regulars.note_earlier_visits();
    end if;
end
$$;
