-- Linking an order to its customer: at checkout, one order in one call; later, in bulk from Python.

-- Orders whose phone can't be read, and why. A row stays until the phone, or the shop's country, changes:
-- until then the order is not tried again.
create table regulars.unreadable_phones (
    order_id uuid primary key references public.shop_orders (id) on delete cascade,
    shop_id uuid not null,
    reason text not null,
    noted_at timestamptz not null default now()
);

-- Orders to be linked anew because their phone changed after they were linked.
create table regulars.changed_phones (
    order_id uuid primary key references public.shop_orders (id) on delete cascade
);

create function regulars.note_changed_phone() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from regulars.unreadable_phones where order_id = new.id;
    insert into regulars.changed_phones (order_id) values (new.id) on conflict do nothing;
    return null;
end
$$;

create trigger regulars_phone after update of customer_phone on public.shop_orders
for each row when (old.customer_phone is distinct from new.customer_phone)
execute function regulars.note_changed_phone();

create function regulars.note_changed_country() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from regulars.unreadable_phones where shop_id = new.id;
    return null;
end
$$;

create trigger regulars_country after update of country on public.user_shops
for each row when (old.country is distinct from new.country)
execute function regulars.note_changed_country();

-- Checkouts that could not be carried out, as they were told: each refresh tries them again.
create table regulars.failures (
    order_id uuid not null,
    shop_id uuid not null,
    event jsonb not null,
    reason text not null,
    tries int not null default 1,
    noted_at timestamptz not null default now(),
    primary key (order_id, shop_id)
);

-- The same order told again with other facts: the first stand, these are kept for somebody to look at.
create table regulars.conflicts (
    order_id uuid not null references public.shop_orders (id) on delete cascade,
    shop_id uuid not null,
    fingerprint uuid not null,
    event jsonb not null,
    noted_at timestamptz not null default now(),
    primary key (order_id, fingerprint)
);

-- One checkout. The phone comes in E.164 as read in `country`, or null with the reason why it can't be read.
--
-- outcome:
--   new_customer, returning_customer   the order is linked
--   unreadable                         the order is kept without a customer, the reason is noted
--   replayed                           everything stood already; nothing was written
--   conflict                           the order was tracked with other facts: those stand, these are kept
--   other_country                      the shop's country is not `country`: it is answered, read the phone in it
--   unknown_shop, unknown_order        nothing was written
--   failed                             something broke: nothing of it stands but the event, in regulars.failures
create function regulars.track(
    in order_id uuid,
    in shop_id uuid,
    inout country text,
    in phone text,
    in unreadable_reason text,
    in email text,
    in customer_name text,
    in visit_id uuid,
    in slug text,
    in accessed_at timestamptz,
    in referrer text,
    in utm_source text,
    in utm_medium text,
    in utm_campaign text,
    in fingerprint uuid,
    in event text,
    out outcome text,
    out customer_id uuid,
    out tracking_id uuid
)
language plpgsql security definer set search_path = '' set lock_timeout = '150ms'
as $$
#variable_conflict use_column
declare
    shop_country text;
    known_fingerprint uuid;
    broke text;
begin
    select s.country into shop_country from public.user_shops as s where s.id = track.shop_id;
    if not found then
        outcome := 'unknown_shop';
        return;
    end if;
    if shop_country is distinct from track.country then
        outcome := 'other_country';
        country := shop_country;
        return;
    end if;

    select o.shop_customer_id, t.id, t.fingerprint
    into customer_id, tracking_id, known_fingerprint
    from public.shop_orders as o
    left join public.customer_tracking as t on o.id = t.shop_order_id
    where o.id = track.order_id and o.shop_id = track.shop_id;
    if not found then
        outcome := 'unknown_order';
        return;
    end if;

    if tracking_id is null then
        if customer_id is not null then
            outcome := 'returning_customer';
        elsif phone is null then
            insert into regulars.unreadable_phones (order_id, shop_id, reason)
            values (track.order_id, track.shop_id, track.unreadable_reason)
            on conflict (order_id) do nothing;
            outcome := 'unreadable';
        else
            -- Select, insert, select again: on a conflict `returning` answers nothing, and the row that another
            -- transaction has just committed is visible only to a new statement.
            select c.id into customer_id
            from public.shop_customers as c
            where c.shop_id = track.shop_id and c.phone_number = track.phone;
            outcome := 'returning_customer';
            if not found then
                insert into public.shop_customers as c (shop_id, phone_number, email, customer_name, first_seen_at)
                values (
                    track.shop_id, track.phone, track.email, track.customer_name,
                    coalesce(track.accessed_at, now())
                )
                on conflict (shop_id, phone_number) do nothing
                returning c.id into customer_id;
                if found then
                    outcome := 'new_customer';
                else
                    select c.id into strict customer_id
                    from public.shop_customers as c
                    where c.shop_id = track.shop_id and c.phone_number = track.phone;
                end if;
            end if;
            -- The same order tracked by several at once is linked by one; the others wait here for its commit.
            update public.shop_orders as o
            set shop_customer_id = track.customer_id
            where o.id = track.order_id and o.shop_customer_id is null;
        end if;

        if visit_id is not null then
            update public.customer_tracking as t
            set
                shop_order_id = track.order_id,
                shop_customer_id = track.customer_id,
                purchase_completed = true,
                fingerprint = track.fingerprint
            where
                t.id = track.visit_id
                and t.shop_id = track.shop_id
                and t.shop_order_id is null
                and not exists (select 1 from public.customer_tracking as o where o.shop_order_id = track.order_id)
            returning t.id into tracking_id;
        end if;
        if tracking_id is null then
            insert into public.customer_tracking as t (
                shop_id, shop_order_id, shop_customer_id, accessed_via_slug, accessed_at, purchase_completed,
                referrer, utm_source, utm_medium, utm_campaign, fingerprint
            )
            values (
                track.shop_id, track.order_id, track.customer_id, track.slug, coalesce(track.accessed_at, now()),
                true, track.referrer, track.utm_source, track.utm_medium, track.utm_campaign, track.fingerprint
            )
            on conflict (shop_order_id) do nothing
            returning t.id into tracking_id;
        end if;
        if tracking_id is not null then
            return;
        end if;
        -- Another was quicker: what stands now is what it wrote.
        select o.shop_customer_id, t.id, t.fingerprint
        into customer_id, tracking_id, known_fingerprint
        from public.shop_orders as o
        inner join public.customer_tracking as t on o.id = t.shop_order_id
        where o.id = track.order_id;
    end if;

    if known_fingerprint <> track.fingerprint then
        insert into regulars.conflicts (order_id, shop_id, fingerprint, event)
        values (track.order_id, track.shop_id, track.fingerprint, track.event::jsonb)
        on conflict do nothing;
        outcome := 'conflict';
    else
        outcome := 'replayed';
    end if;
exception
    when others then
        -- The message and never the detail, which may hold a phone.
        get stacked diagnostics broke = message_text;
        insert into regulars.failures as f (order_id, shop_id, event, reason)
        values (track.order_id, track.shop_id, track.event::jsonb, broke)
        on conflict (order_id, shop_id) do update set tries = f.tries + 1, reason = excluded.reason;
        outcome := 'failed';
        customer_id := null;
        tracking_id := null;
end
$$;
