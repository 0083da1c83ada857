-- Erasure: a person's phone, e-mail and name go, their orders and the totals stay. The customer's row stands
-- without identity, so that the orders keep their customer, and a proof says when it was erased and by whom.

alter table public.shop_customers
    alter column phone_number drop not null,
    add column erased_at timestamptz,
    add constraint shop_customers_erased_have_no_identity check (
        case
            when erased_at is null then phone_number is not null
            else num_nonnulls(phone_number, email, customer_name) = 0
        end
    );

-- The proof, and what keeps the person out: the hash of the phone, keyed with a secret that is not in this
-- database, tells an old order that comes later. The foreign key keeps the customer's row from being deleted:
-- without it the person's old orders would have nowhere to go but to a new customer.
create table regulars.erasures (
    shop_id uuid not null,
    shop_customer_id uuid not null,
    phone_hash bytea not null,
    -- Of the key alone: tells that another key is in use, which would recognise nobody.
    key_check bytea not null,
    erased_at timestamptz not null,
    erased_by text not null,
    primary key (shop_id, shop_customer_id),
    foreign key (shop_id, shop_customer_id) references public.shop_customers (shop_id, id)
);

create index erasures_by_moment on regulars.erasures (shop_id, erased_at);

-- What of an event is a person's.
create function regulars.without_identity(event jsonb) returns jsonb
language sql immutable strict parallel safe
return event - '{phone,email,customer_name}'::text[];

-- An order that has no time at all counts as old: rather a purchase too many is erased than a person kept.
create function regulars.ordered_at(created_at timestamptz, updated_at timestamptz) returns timestamptz
language sql immutable parallel safe
return coalesce(created_at, updated_at, timestamptz '-infinity');

-- As before, but the order of an erased person keeps its customer whatever becomes of its phone.
create or replace function regulars.note_changed_phone() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from regulars.unreadable_phones where order_id = new.id;
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

-- `track` as before, and: an order that is older than an erasure of its shop is held against the erased, by the
-- hash of its phone. An erased person's order takes no identity from what is told of it.
drop function regulars.track;

-- One checkout. The phone comes in E.164 as read in `country`, or null with the reason why it can't be read.
--
-- outcome:
--   new_customer, returning_customer   the order is linked
--   unreadable                         the order is kept without a customer, the reason is noted
--   replayed                           everything stood already; nothing was written
--   conflict                           the order was tracked with other facts: those stand, these are kept
--   other_country                      the shop's country is not `country`: it is answered, read the phone in it
--   perhaps_erased                     the order is older than an erasure: nothing was written, tell `phone_hash`,
--                                      or an empty one where the key is not at hand: the event is kept as failed
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
    in phone_hash bytea default null,
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
    order_time timestamptz;
    is_before_erasure boolean;
    is_erased boolean;
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

    select
        o.shop_customer_id, t.id, t.fingerprint,
        regulars.ordered_at(regulars.as_utc(o.created_at), regulars.as_utc(o.updated_at)),
        exists (
            select 1
            from regulars.erasures as e
            where
                e.shop_id = o.shop_id
                and e.erased_at
                >= regulars.ordered_at(regulars.as_utc(o.created_at), regulars.as_utc(o.updated_at))
        ),
        exists (
            select 1
            from regulars.erasures as e
            where e.shop_id = o.shop_id and e.shop_customer_id = o.shop_customer_id
        )
    into customer_id, tracking_id, known_fingerprint, order_time, is_before_erasure, is_erased
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
            if is_before_erasure then
                if phone_hash is null then
                    outcome := 'perhaps_erased';
                    return;
                elsif phone_hash = '' then
                    raise exception 'whether an erased person ordered can''t be told: set REGULARS_ERASURE_KEY';
                end if;
                select e.shop_customer_id into customer_id
                from regulars.erasures as e
                where
                    e.shop_id = track.shop_id
                    and e.phone_hash = track.phone_hash
                    and e.erased_at >= order_time
                order by e.erased_at
                limit 1;
                is_erased := found;
            end if;
            if is_erased then
                update public.shop_orders as o
                set
                    shop_customer_id = track.customer_id,
                    customer_phone = null,
                    customer_email = null,
                    customer_name = null
                where o.id = track.order_id and o.shop_customer_id is null;
                delete from regulars.unreadable_phones as n where n.order_id = track.order_id;
            end if;
        end if;
        if customer_id is not null then
            outcome := 'returning_customer';
        elsif phone is not null then
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

        if is_erased then
            fingerprint := null;
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

    -- Of an erased person's order no fingerprint stands: whatever is told of it again is a replay.
    if known_fingerprint <> track.fingerprint then
        if is_before_erasure then
            -- The phone in it may be an erased person's, so may what its fingerprint is made of.
            event := regulars.without_identity(track.event::jsonb)::text;
            fingerprint := md5(event)::uuid;
        end if;
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
        if is_erased then
            event := regulars.without_identity(track.event::jsonb)::text;
        end if;
        insert into regulars.failures as f (order_id, shop_id, event, reason)
        values (track.order_id, track.shop_id, track.event::jsonb, broke)
        on conflict (order_id, shop_id) do update set tries = f.tries + 1, reason = excluded.reason;
        outcome := 'failed';
        customer_id := null;
        tracking_id := null;
end
$$;
