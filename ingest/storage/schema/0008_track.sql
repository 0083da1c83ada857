-- `regulars.track`: one checkout in one call. The steps come first, each a function of its own.

-- Stores an event that disputes its order's first checkout. If the order is older than an erasure,
-- the event is stored without identity, and with a fingerprint that doesn't depend on it: the phone
-- may be an erased person's.
create function regulars.store_conflict(
    event jsonb, fingerprint uuid, is_before_erasure boolean
) returns void
language sql set search_path = ''
as $$
    insert into regulars.conflicts (order_id, shop_id, fingerprint, event)
    select
        (event ->> 'order_id')::uuid,
        (event ->> 'shop_id')::uuid,
        case
            when is_before_erasure then md5(regulars.without_identity(event)::text)::uuid
            else fingerprint
        end,
        case when is_before_erasure then regulars.without_identity(event) else event end
    on conflict do nothing
$$;

-- Stores an event that failed, with its time: a later try must not change it.
create function regulars.store_failure(event jsonb, accessed_at timestamptz, reason text)
returns void
language sql set search_path = ''
as $$
    insert into regulars.failures as f (order_id, shop_id, event, reason)
    values (
        (event ->> 'order_id')::uuid, (event ->> 'shop_id')::uuid,
        jsonb_build_object('accessed_at', accessed_at) || event, reason
    )
    on conflict (order_id, shop_id) do update set tries = f.tries + 1, reason = excluded.reason
$$;

-- The erased customer to whom an order belongs, by the hash of its phone; null if it belongs to
-- none.
create function regulars.find_erased(shop uuid, ordered_at timestamptz, phone_hash bytea)
returns uuid
language plpgsql stable set search_path = ''
as $$
begin
    if phone_hash = '' then
        raise exception
            'this order may belong to an erased person: set REGULARS_ERASURE_KEY to find out';
    end if;
    return (
        select e.shop_customer_id
        from regulars.erasures as e
        where
            e.shop_id = shop
            and e.phone_hash = find_erased.phone_hash
            and e.erased_at >= find_erased.ordered_at
        order by e.erased_at
        limit 1
    );
end
$$;

-- Removes the identity from the storefront's row of an erased person's order, and from its visit,
-- for which nothing is awaited any more. The order's tracking row must exist already: the trigger on
-- the phone sees in it that the order keeps its customer.
create function regulars.clear_erased_order(order_id uuid) returns void
language sql set search_path = ''
as $$
    update public.shop_orders as o
    set
        customer_phone = regulars.empty_value('customer_phone'),
        customer_email = regulars.empty_value('customer_email'),
        customer_name = regulars.empty_value('customer_name')
    where
        o.id = clear_erased_order.order_id
        and concat(o.customer_phone, o.customer_email, o.customer_name) <> '';
    update regulars.tracking as t
    set
        referrer = null,
        utm_source = null,
        utm_medium = null,
        utm_campaign = null,
        awaits_visit = false
    where
        t.shop_order_id = clear_erased_order.order_id
        and (t.awaits_visit or num_nonnulls(t.referrer, t.utm_source, t.utm_medium, t.utm_campaign) > 0);
    delete from regulars.unreadable_phones as n where n.order_id = clear_erased_order.order_id;
$$;

-- Creates a customer, or finds the one that another transaction has created in the meantime: on a
-- conflict `returning` returns nothing, and only a new statement sees the row that has just been
-- committed.
create function regulars.make_customer(
    shop uuid, phone text, event jsonb, first_seen_at timestamptz,
    out customer uuid, out is_new boolean
)
language plpgsql set search_path = ''
as $$
begin
    insert into regulars.customers as c (shop_id, phone_number, email, customer_name, first_seen_at)
    values (shop, phone, event ->> 'email', event ->> 'customer_name', make_customer.first_seen_at)
    on conflict (shop_id, phone_number) do nothing
    returning c.id into customer;
    is_new := found;
    if not is_new then
        select c.id into strict customer
        from regulars.customers as c
        where c.shop_id = shop and c.phone_number = phone;
    end if;
end
$$;

-- Writes the order's tracking row: completes its visit's row, or inserts one. Returns the row's id,
-- or null if another transaction has written a row of this order.
create function regulars.write_tracking(
    event jsonb, customer uuid, visit_id uuid, accessed_at timestamptz, fingerprint uuid
) returns uuid
language plpgsql set search_path = ''
as $$
#variable_conflict use_column
declare
    shop uuid := event ->> 'shop_id';
    ordered uuid := event ->> 'order_id';
    is_visit_missing boolean := false;
    tracking_id uuid;
begin
    for attempt in 1 .. 3 loop
        if visit_id is not null then
            update regulars.tracking as t
            set
                shop_order_id = ordered,
                shop_customer_id = customer,
                fingerprint = write_tracking.fingerprint
            where
                t.id = write_tracking.visit_id
                and t.shop_id = shop
                and t.shop_order_id is null
                and not exists (
                    select 1 from regulars.tracking as o where o.shop_order_id = ordered
                )
            returning t.id into tracking_id;
            if found then
                return tracking_id;
            end if;
            is_visit_missing := not exists (
                select 1 from regulars.tracking as t where t.id = write_tracking.visit_id
            );
            -- The visit arrived between the two statements: complete it.
            continue when not is_visit_missing and exists (
                select 1
                from regulars.tracking as t
                where
                    t.id = write_tracking.visit_id
                    and t.shop_id = shop
                    and t.shop_order_id is null
                    and not exists (
                        select 1 from regulars.tracking as o where o.shop_order_id = ordered
                    )
            );
        end if;
        insert into regulars.tracking as t (
            id, shop_id, shop_order_id, shop_customer_id, accessed_via_slug, accessed_at,
            referrer, utm_source, utm_medium, utm_campaign, awaits_visit, fingerprint
        )
        values (
            case when is_visit_missing then write_tracking.visit_id else gen_random_uuid() end,
            shop, ordered, customer, event ->> 'slug', write_tracking.accessed_at,
            event ->> 'referrer', event ->> 'utm_source', event ->> 'utm_medium',
            event ->> 'utm_campaign', is_visit_missing, write_tracking.fingerprint
        )
        on conflict do nothing
        returning t.id into tracking_id;
        -- The conflict was with the visit, which has just arrived: try again.
        if
            found
            or exists (select 1 from regulars.tracking as t where t.shop_order_id = ordered)
        then
            return tracking_id;
        end if;
    end loop;
    return null;
end
$$;

-- Tracks one checkout. `event` is the whole checkout as it was received. `phone` is its phone in
-- E.164, as read in `country`, or null with the reason why it can't be read.
--
-- outcome:
--   new_customer,
--   returning_customer  the order has been matched with its customer
--   unreadable          the order has no customer; the reason is recorded
--   replayed            the same checkout was tracked before; nothing was written
--   conflict            the order was tracked with other facts: those stand, these are stored
--   other_country       nothing was written, because `country` is not the shop's. It returns the
--                       shop's country: read the phone in it and call again
--   perhaps_erased      nothing was written, because the order is older than an erasure. Call again
--                       with `phone_hash`, keyed with the key of `key_check`. Without that key,
--                       pass an empty hash: the event is then stored as failed
--   unknown_shop,
--   unknown_order       nothing was written
--   failed              something broke: all was rolled back, and the event is stored in
--                       regulars.failures
--
-- A high seq_page_cost, because a session keeps its plans: a plan made while a table was small
-- would scan all of it later.
create function regulars.track(
    in event jsonb,
    inout country text,
    in phone text,
    in unreadable_reason text,
    in phone_hash bytea default null,
    out outcome text,
    out customer_id uuid,
    out visit_id uuid,
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
    given_visit_id uuid := event ->> 'visit_id';
    accessed_at timestamptz := coalesce((event ->> 'accessed_at')::timestamptz, now());
    -- The same for all spellings of a phone, and at any time: a caller that tries again may set a
    -- new time.
    fingerprint uuid := md5(
        (event - '{phone,accessed_at}'::text[])::text || coalesce(phone, event ->> 'phone', '')
    );
    given_country text := country;
    standing record;
    is_erased boolean := false;
    broke text;
begin
    -- 1. Read all that is known: the shop, the order, its tracking row, the phone's customer. The
    -- order is looked up by its key alone: without statistics, the planner might choose another
    -- index.
    select
        s.country,
        o.shop_id as order_shop_id,
        regulars.ordered_at(
            regulars.as_utc(o.created_at), regulars.as_utc(o.updated_at)
        ) as ordered_at,
        t.id as visit_id,
        t.shop_customer_id as order_customer_id,
        t.accessed_at is not null as is_tracked,
        t.fingerprint,
        c.id as phone_customer_id,
        exists (
            select 1
            from regulars.erasures as e
            where
                e.shop_id = s.id
                and e.erased_at
                >= regulars.ordered_at(regulars.as_utc(o.created_at), regulars.as_utc(o.updated_at))
        ) as is_before_erasure
    into standing
    from public.user_shops as s
    left join public.shop_orders as o on o.id = facts.order_id
    left join regulars.tracking as t on o.id = t.shop_order_id and o.shop_id = t.shop_id
    left join regulars.customers as c on s.id = c.shop_id and c.phone_number = track.phone
    where s.id = facts.shop_id;

    -- 2. Stop if the call can't be carried out.
    if not found then
        outcome := 'unknown_shop';
    elsif standing.country is distinct from given_country then
        outcome := 'other_country';
    elsif standing.order_shop_id is distinct from shop_id then
        outcome := 'unknown_order';
    end if;
    country := standing.country;
    if outcome is not null then
        return;
    end if;

    if standing.is_tracked then
        visit_id := standing.visit_id;
        customer_id := standing.order_customer_id;
    else
        -- 3. Find the customer: that of the order, an erased one, that of the phone, or a new one.
        outcome := 'returning_customer';
        customer_id := standing.order_customer_id;
        if standing.visit_id is not null then
            -- Matched in bulk before its checkout arrived: the checkout's row replaces that row.
            delete from regulars.tracking as t
            where t.id = standing.visit_id and t.accessed_at is null;
        end if;
        if customer_id is not null then
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
        elsif standing.is_before_erasure and phone_hash is null then
            outcome := 'perhaps_erased';
            select e.key_check into key_check
            from regulars.erasures as e
            where e.shop_id = facts.shop_id
            limit 1;
            return;
        elsif standing.is_before_erasure then
            customer_id := regulars.find_erased(shop_id, standing.ordered_at, phone_hash);
            is_erased := customer_id is not null;
            if is_erased then
                perform regulars.restore_erased_customer(shop_id, customer_id);
            end if;
        end if;
        if customer_id is null and phone is not null then
            customer_id := standing.phone_customer_id;
            if customer_id is null then
                select
                    m.customer,
                    case when m.is_new then 'new_customer' else 'returning_customer' end
                into customer_id, outcome
                from regulars.make_customer(shop_id, phone, event, accessed_at) as m;
            end if;
        end if;

        -- 4. Write the tracking row.
        visit_id := regulars.write_tracking(
            event, customer_id, given_visit_id, accessed_at,
            case when not is_erased then fingerprint end
        );
        if is_erased then
            perform regulars.clear_erased_order(order_id);
        end if;
        if visit_id is not null then
            return;
        end if;
        -- Another transaction was quicker: its row stands.
        select t.id, t.shop_customer_id, t.fingerprint
        into visit_id, customer_id, standing.fingerprint
        from regulars.tracking as t
        where t.shop_order_id = facts.order_id and t.shop_id = facts.shop_id;
        if not found then
            raise exception 'the order came from another shop and has not been matched since';
        end if;
    end if;

    -- 5. Tracked before: by the same checkout, or by one with other facts.
    -- An erased person's order has no fingerprint, so any further checkout of it is a replay.
    if standing.fingerprint <> fingerprint then
        outcome := 'conflict';
        perform regulars.store_conflict(event, fingerprint, standing.is_before_erasure);
    else
        outcome := 'replayed';
    end if;
exception
    when others then
        -- The message, but never the detail, which may hold a phone.
        get stacked diagnostics broke = message_text;
        perform regulars.store_failure(
            case when is_erased then regulars.without_identity(event) else event end,
            accessed_at, broke
        );
        outcome := 'failed';
        customer_id := null;
        visit_id := null;
end
$$;

-- Tracks one visit; returns false, and has written nothing, if there is no such shop. Idempotent. A
-- visit that arrives after its own checkout completes that checkout's row.
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
    insert into regulars.tracking as t (
        id, shop_id, accessed_via_slug, accessed_at, referrer, utm_source, utm_medium, utm_campaign
    )
    values (
        (visit.event ->> 'visit_id')::uuid, facts.shop_id, visit.event ->> 'slug',
        coalesce(facts.accessed_at, now()), visit.event ->> 'referrer',
        visit.event ->> 'utm_source', visit.event ->> 'utm_medium', visit.event ->> 'utm_campaign'
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
