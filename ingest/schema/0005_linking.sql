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
    -- The order of an erased person keeps its customer, whatever becomes of its phone.
    if not exists (
        select 1
        from regulars.erasures as e
        where e.shop_id = new.shop_id and e.shop_customer_id = new.shop_customer_id
    ) then
        insert into regulars.changed_phones (order_id) values (new.id) on conflict do nothing;
    end if;
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

-- One checkout; `event` is all of it as it was told. The phone comes in E.164 as read in `country`, or null with the
-- reason why it can't be read.
--
-- outcome:
--   new_customer, returning_customer   the order is linked
--   unreadable                         the order is kept without a customer, the reason is noted
--   replayed                           everything stood already; nothing was written
--   conflict                           the order was tracked with other facts: those stand, these are kept
--   other_country                      the shop's country is not `country`: it is answered, read the phone in it
--   perhaps_erased                     the order is older than an erasure: nothing was written, tell `phone_hash`,
--                                      keyed with the key of `key_check`, or an empty one where that key is not at
--                                      hand: the event is kept as failed
--   unknown_shop, unknown_order        nothing was written
--   failed                             something broke: nothing of it stands but the event, in regulars.failures
--
-- The cost of pages: a session keeps its plans, and one made while a table was small would go on reading all of it.
create function regulars.track(
    in event jsonb,
    inout country text,
    in phone text,
    in unreadable_reason text,
    in phone_hash bytea default null,
    out outcome text,
    out customer_id uuid,
    out tracking_id uuid,
    out key_check bytea
)
language plpgsql security definer
set search_path = '' set lock_timeout = '150ms' set seq_page_cost = 100
as $$
#variable_conflict use_column
<<facts>>
declare
    shop_id uuid := event ->> 'shop_id';
    order_id uuid := event ->> 'order_id';
    visit_id uuid := event ->> 'visit_id';
    accessed_at timestamptz := coalesce((event ->> 'accessed_at')::timestamptz, now());
    -- One for all spellings of a phone, and for whenever it is told: who tries again may stamp their own time.
    fingerprint uuid := md5(
        (event - '{phone,accessed_at}'::text[])::text || coalesce(phone, event ->> 'phone', '')
    );
    told_country text := country;
    order_shop_id uuid;
    order_time timestamptz;
    known_fingerprint uuid;
    is_before_erasure boolean;
    is_erased boolean := false;
    is_visit_to_come boolean := false;
    new_id uuid;
    broke text;
begin
    -- The order by its key alone: where tables are too new for statistics, the index by shop would seem as good.
    select
        s.country, o.shop_id, o.shop_customer_id, t.id, t.fingerprint,
        regulars.ordered_at(regulars.as_utc(o.created_at), regulars.as_utc(o.updated_at)),
        exists (
            select 1
            from regulars.erasures as e
            where
                e.shop_id = s.id
                and e.erased_at
                >= regulars.ordered_at(regulars.as_utc(o.created_at), regulars.as_utc(o.updated_at))
        )
    into country, order_shop_id, customer_id, tracking_id, known_fingerprint, order_time, is_before_erasure
    from public.user_shops as s
    left join public.shop_orders as o on o.id = facts.order_id
    left join public.customer_tracking as t on o.id = t.shop_order_id
    where s.id = facts.shop_id;
    if not found then
        outcome := 'unknown_shop';
    elsif country is distinct from told_country then
        outcome := 'other_country';
    elsif order_shop_id is distinct from shop_id then
        outcome := 'unknown_order';
    end if;
    if outcome is not null then
        customer_id := null;
        tracking_id := null;
        return;
    end if;

    if tracking_id is null then
        if customer_id is not null then
            outcome := 'returning_customer';
            is_erased := exists (
                select 1
                from regulars.erasures as e
                where e.shop_id = facts.shop_id and e.shop_customer_id = track.customer_id
            );
        elsif phone is null then
            outcome := 'unreadable';
            insert into regulars.unreadable_phones (order_id, shop_id, reason)
            values (facts.order_id, facts.shop_id, track.unreadable_reason)
            on conflict (order_id) do nothing;
        elsif is_before_erasure then
            if phone_hash is null then
                outcome := 'perhaps_erased';
                select e.key_check into key_check
                from regulars.erasures as e
                where e.shop_id = facts.shop_id
                limit 1;
                return;
            elsif phone_hash = '' then
                raise exception 'whether an erased person ordered can''t be told: set REGULARS_ERASURE_KEY';
            end if;
            select e.shop_customer_id into customer_id
            from regulars.erasures as e
            where
                e.shop_id = facts.shop_id
                and e.phone_hash = track.phone_hash
                and e.erased_at >= facts.order_time
            order by e.erased_at
            limit 1;
            is_erased := found;
            if is_erased then
                outcome := 'returning_customer';
                update public.shop_orders as o
                set
                    shop_customer_id = track.customer_id,
                    customer_phone = null,
                    customer_email = null,
                    customer_name = null
                where o.id = facts.order_id and o.shop_customer_id is null;
                delete from regulars.unreadable_phones as n where n.order_id = facts.order_id;
            end if;
        end if;

        if outcome is null then
            -- Select, insert, select again: on a conflict `returning` answers nothing, and the row that another
            -- transaction has just committed is visible only to a new statement.
            select c.id into customer_id
            from public.shop_customers as c
            where c.shop_id = facts.shop_id and c.phone_number = track.phone;
            outcome := 'returning_customer';
            if not found then
                insert into public.shop_customers as c (shop_id, phone_number, email, customer_name, first_seen_at)
                values (
                    facts.shop_id, track.phone, track.event ->> 'email', track.event ->> 'customer_name',
                    facts.accessed_at
                )
                on conflict (shop_id, phone_number) do nothing
                returning c.id into customer_id;
                if found then
                    outcome := 'new_customer';
                else
                    select c.id into strict customer_id
                    from public.shop_customers as c
                    where c.shop_id = facts.shop_id and c.phone_number = track.phone;
                end if;
            end if;
        end if;

        if is_erased then
            fingerprint := null;
        end if;
        for attempt in 1 .. 3 loop
            if visit_id is not null then
                update public.customer_tracking as t
                set
                    shop_order_id = facts.order_id,
                    shop_customer_id = track.customer_id,
                    purchase_completed = true,
                    fingerprint = facts.fingerprint
                where
                    t.id = facts.visit_id
                    and t.shop_id = facts.shop_id
                    and t.shop_order_id is null
                    and not exists (select 1 from public.customer_tracking as o where o.shop_order_id = facts.order_id)
                returning t.id into tracking_id;
                is_visit_to_come := not exists (
                    select 1 from public.customer_tracking as t where t.id = facts.visit_id
                );
            end if;
            -- The same order tracked by several at once is linked by one; the others wait here for its commit.
            with linked as (
                update public.shop_orders as o
                set shop_customer_id = track.customer_id
                where
                    o.id = facts.order_id and o.shop_customer_id is null and track.customer_id is not null
            )
            insert into public.customer_tracking as t (
                id, shop_id, shop_order_id, shop_customer_id, accessed_via_slug, accessed_at, purchase_completed,
                referrer, utm_source, utm_medium, utm_campaign, awaits_visit, fingerprint
            )
            select
                case when facts.is_visit_to_come then facts.visit_id else gen_random_uuid() end,
                facts.shop_id, facts.order_id, track.customer_id, track.event ->> 'slug', facts.accessed_at, true,
                track.event ->> 'referrer', track.event ->> 'utm_source', track.event ->> 'utm_medium',
                track.event ->> 'utm_campaign', facts.is_visit_to_come, facts.fingerprint
            where track.tracking_id is null
            on conflict do nothing
            returning t.id into new_id;
            tracking_id := coalesce(tracking_id, new_id);
            if tracking_id is not null then
                return;
            end if;
            -- In conflict with its visit, which has come this very moment, it is tried again.
            exit when exists (select 1 from public.customer_tracking as t where t.shop_order_id = facts.order_id);
        end loop;

        -- Another was quicker: what stands now is what it wrote.
        select o.shop_customer_id, t.id, t.fingerprint
        into customer_id, tracking_id, known_fingerprint
        from public.shop_orders as o
        inner join public.customer_tracking as t on o.id = t.shop_order_id
        where o.id = facts.order_id;
    end if;

    -- Of an erased person's order no fingerprint stands: whatever is told of it again is a replay.
    if known_fingerprint <> fingerprint then
        outcome := 'conflict';
        if is_before_erasure then
            -- The phone in it may be an erased person's, so may what its fingerprint is made of.
            event := regulars.without_identity(event);
            fingerprint := md5(event::text);
        end if;
        insert into regulars.conflicts (order_id, shop_id, fingerprint, event)
        values (facts.order_id, facts.shop_id, facts.fingerprint, track.event)
        on conflict do nothing;
    else
        outcome := 'replayed';
    end if;
exception
    when others then
        -- The message and never the detail, which may hold a phone.
        get stacked diagnostics broke = message_text;
        if is_erased then
            event := regulars.without_identity(event);
        end if;
        -- With its time: when it is tried again, it happened no later.
        insert into regulars.failures as f (order_id, shop_id, event, reason)
        values (
            facts.order_id, facts.shop_id, jsonb_build_object('accessed_at', facts.accessed_at) || track.event,
            facts.broke
        )
        on conflict (order_id, shop_id) do update set tries = f.tries + 1, reason = excluded.reason;
        outcome := 'failed';
        customer_id := null;
        tracking_id := null;
end
$$;

-- One visit, as it was told; false where there is no such shop, and nothing was written. One that has come before
-- changes nothing; one that comes after its own checkout tells that row what it knows.
create function regulars.visit(in event jsonb) returns boolean
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
<<facts>>
declare
    shop_id uuid := event ->> 'shop_id';
    accessed_at timestamptz := event ->> 'accessed_at';
begin
    perform from public.user_shops as s where s.id = facts.shop_id;
    if not found then
        return false;
    end if;
    insert into public.customer_tracking as t (
        id, shop_id, accessed_via_slug, accessed_at, referrer, utm_source, utm_medium, utm_campaign
    )
    values (
        (visit.event ->> 'visit_id')::uuid, facts.shop_id, visit.event ->> 'slug',
        coalesce(facts.accessed_at, now()), visit.event ->> 'referrer', visit.event ->> 'utm_source',
        visit.event ->> 'utm_medium', visit.event ->> 'utm_campaign'
    )
    on conflict (id) do update
    set
        accessed_via_slug = excluded.accessed_via_slug,
        accessed_at = coalesce(facts.accessed_at, t.accessed_at),
        referrer = excluded.referrer,
        utm_source = excluded.utm_source,
        utm_medium = excluded.utm_medium,
        utm_campaign = excluded.utm_campaign,
        awaits_visit = false
    where t.awaits_visit and t.shop_id = excluded.shop_id;
    return true;
end
$$;
