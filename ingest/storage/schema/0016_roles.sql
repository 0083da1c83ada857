-- Access: three group roles, and what each may reach.
--
--   regulars_checkout   calls ingest's functions and reads nothing
--   regulars_owner      reads schema `dashboard`: the rows of their own shops, by the claims of the transaction
--   regulars_analyst    reads schema `analytics`: every shop, nobody's phone, e-mail or name
--
-- Roles belong to the server and not to this database, and we may not be allowed to make them. So everything here
-- can be run again: once the roles are there, `regulars migrate` grants what was left out.

-- dbt builds and tests in schema `building`, which is closed to all three; publishing copies it to `analytics`.
create schema if not exists building;
create schema if not exists analytics;
create schema if not exists dashboard;

-- Makes the roles that are missing; returns the SQL for those that we may not make.
create function regulars.make_roles() returns setof text
language plpgsql set search_path = ''
as $$
declare
    missing name;
begin
    foreach missing in array '{regulars_checkout,regulars_owner,regulars_analyst}'::name[] loop
        continue when exists (select 1 from pg_catalog.pg_roles as r where r.rolname = missing);
        begin
            execute format('create role %I nologin', missing);
        exception
            when insufficient_privilege then
                return next format('create role %I nologin;', missing);
            when duplicate_object or unique_violation then
                -- Another database of this server has just made it.
                null;
        end;
    end loop;
end
$$;

-- Grants a privilege if the role exists and lacks it: a grant that changes nothing would still write.
create function regulars.let_read(reader name, relation regclass) returns void
language plpgsql set search_path = ''
as $$
begin
    if
        exists (select 1 from pg_catalog.pg_roles as r where r.rolname = reader)
        and not pg_catalog.has_table_privilege(reader, relation, 'select')
    then
        execute format('grant select on %s to %I', relation, reader);
    end if;
end
$$;

-- The policies that a mart has, each with its condition as PostgreSQL prints it.
create function regulars.wanted_policies() returns table (name name, reader oid, condition text)
language sql stable set search_path = ''
as $$
    select 'regulars_owner_reads', 0::oid, '(shop_id = ANY (( SELECT regulars.own_shops() AS own_shops)::uuid[]))'
    union all
    select 'regulars_analyst_reads', r.oid, 'true'
    from pg_catalog.pg_roles as r
    where r.rolname = 'regulars_analyst'
$$;

-- Policies of somebody else's that let owners see more of a mart than their own shops.
create function regulars.opening_policies(relation regclass) returns setof name
language sql stable set search_path = ''
as $$
    select p.polname
    from pg_catalog.pg_policy as p
    where
        p.polrelid = relation
        and p.polpermissive
        and p.polname not in ('regulars_owner_reads', 'regulars_analyst_reads')
        and (
            0 = any (p.polroles)
            or exists (
                select 1
                from pg_catalog.pg_roles as r
                where r.rolname = 'regulars_owner' and r.oid = any (p.polroles)
            )
        )
$$;

-- What is wrong with a mart's row-level security: a sentence each, none where all is well. A view has none of its own.
create function regulars.row_security_faults(relation regclass) returns setof text
language sql stable set search_path = ''
as $$
    select format('row-level security was off on %s', relation)
    from pg_catalog.pg_class as c
    where c.oid = relation and c.relkind = 'r' and not c.relrowsecurity
    union all
    select format('row-level security was forced on the owner of %s', relation)
    from pg_catalog.pg_class as c
    where c.oid = relation and c.relforcerowsecurity
    union all
    select format('the policy %s of %s was missing or altered', w.name, relation)
    from regulars.wanted_policies() as w
    inner join pg_catalog.pg_class as c on c.oid = relation and c.relkind = 'r'
    where
        not exists (
            select 1
            from pg_catalog.pg_policy as p
            where
                p.polrelid = relation
                and p.polname = w.name
                and p.polcmd = 'r'
                and p.polpermissive
                and p.polroles = array[w.reader]
                and pg_get_expr(p.polqual, p.polrelid) = w.condition
        )
    union all
    select format('the policy %s of %s opened it to owners', p.polname, relation)
    from regulars.opening_policies(relation) as p (polname)
$$;

-- Restores it.
create function regulars.fix_row_security(relation regclass) returns void
language plpgsql set search_path = ''
as $$
declare
    stray name;
    wanted record;
begin
    execute format(
        'alter table %1$s enable row level security; alter table %1$s no force row level security', relation
    );
    for stray in select p.polname from regulars.opening_policies(relation) as p (polname) loop
        execute format('drop policy %I on %s', stray, relation);
    end loop;
    for wanted in select * from regulars.wanted_policies() loop
        execute format('drop policy if exists %I on %s', wanted.name, relation);
        execute format(
            'create policy %I on %s for select to %s using (%s)',
            wanted.name, relation,
            case wanted.reader when 0 then 'public' else wanted.reader::regrole::text end, wanted.condition
        );
    end loop;
end
$$;

-- Whether a column hasn't taken its place yet, or has left it.
create function regulars.is_passing(name name) returns boolean
language sql immutable
return name like '%\_\_next' or name like '%\_\_old\_%';

-- The columns that readers are shown, in order, each with its type.
create function regulars.columns_of(relation oid) returns text[]
language sql stable set search_path = ''
as $$
    select array_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) order by a.attnum)
    from pg_catalog.pg_attribute as a
    where
        a.attrelid = columns_of.relation
        and a.attnum > 0
        and not a.attisdropped
        and not regulars.is_passing(a.attname)
$$;

-- What is wrong with the view that shows a published table to owners; null where all is well.
create function regulars.owner_view_fault(relation regclass) returns text
language sql stable set search_path = ''
as $$
    select
        case
            when v.oid is null then format('the view dashboard.%I was missing', c.relname)
            when v.relkind <> 'v' or not coalesce('security_invoker=true' = any (v.reloptions), false)
                then format('the view dashboard.%I did not keep to the owner''s shops', c.relname)
            when regulars.columns_of(v.oid) is distinct from regulars.columns_of(c.oid)
                then format('the view dashboard.%I had other columns than its table', c.relname)
        end
    from pg_catalog.pg_class as c
    left join pg_catalog.pg_class as v
        on v.oid = to_regclass(format('dashboard.%I', c.relname))
    where c.oid = relation
$$;

-- The view of a published table for owners. It reads with their own rights, so the table's row-level security holds.
create function regulars.make_owner_view(relation regclass) returns void
language plpgsql set search_path = ''
as $$
declare
    walled record;
    shown regclass;
begin
    select
        format('dashboard.%I', c.relname) as view,
        obj_description(c.oid, 'pg_class') as comment,
        string_agg(format('walled.%I', a.attname), ', ' order by a.attnum) as columns,
        coalesce(
            jsonb_object_agg(a.attname, col_description(c.oid, a.attnum))
            filter (where col_description(c.oid, a.attnum) is not null), '{}'
        ) as comments
    into strict walled
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid
    where c.oid = relation and a.attnum > 0 and not a.attisdropped and not regulars.is_passing(a.attname)
    group by c.oid;

    execute format(
        'create view %s with (security_invoker = true) as select %s from %s as walled',
        walled.view, walled.columns, relation
    );
    shown := to_regclass(walled.view);
    perform regulars.comment_on(shown, walled.comment, walled.comments);
    perform regulars.let_read('regulars_owner', shown);
end
$$;

-- Whether a relation of schema `analytics` holds the rows of shops and may be shown to owners: a table, or a view that
-- reads such tables with its reader's rights.
create function regulars.holds_shops(relation regclass) returns boolean
language sql stable set search_path = ''
as $$
    select exists (
        select 1
        from pg_catalog.pg_class as c
        inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid
        where
            c.oid = relation
            and (c.relkind = 'r' or (c.relkind = 'v' and 'security_invoker=true' = any (c.reloptions)))
            and a.attname = 'shop_id'
            and not a.attisdropped
    )
$$;

-- Guards one relation of schema `analytics`, in the transaction that made it: who may read it, its row-level
-- security, and the view that shows owners their own shops' rows. Changes only what is not as it should be, so that
-- it takes no lock that a reader would feel; where there is something to change, the view goes first, as readers lock
-- it first.
--
-- Row-level security lets the planner use a table's indexes for an owner's pages in order. Owners can't name the
-- table itself: its schema is closed to them.
create function regulars.apply_row_security(relation regclass) returns void
language plpgsql set search_path = ''
as $$
declare
    shown regclass := (
        select to_regclass(format('dashboard.%I', c.relname)) from pg_catalog.pg_class as c where c.oid = relation
    );
    views jsonb := '[]';
begin
    -- Dropped and made again, a schema has lost its grants.
    if
        exists (select 1 from pg_catalog.pg_roles as r where r.rolname = 'regulars_analyst')
        and not pg_catalog.has_schema_privilege('regulars_analyst', 'analytics', 'usage')
    then
        grant usage on schema analytics to regulars_analyst;
    end if;
    perform regulars.let_read('regulars_analyst', relation);
    if not regulars.holds_shops(relation) then
        return;
    end if;

    if regulars.owner_view_fault(relation) is not null and shown is not null then
        views := regulars.take_down(array[shown]);
        shown := null;
    end if;
    perform regulars.let_read('regulars_owner', relation);
    if exists (select 1 from regulars.row_security_faults(relation)) then
        perform regulars.fix_row_security(relation);
    end if;
    if shown is null then
        perform regulars.make_owner_view(relation);
        perform regulars.put_back(views);
    else
        perform regulars.let_read('regulars_owner', shown);
    end if;
end
$$;

-- What is wrong with the guard of a relation that stands: a sentence each.
create function regulars.guard_faults() returns table (relation regclass, fault text)
language sql stable set search_path = ''
as $$
    select c.oid::regclass, f.fault
    from pg_catalog.pg_class as c
    cross join lateral (
        select regulars.row_security_faults(c.oid)
        union all
        select regulars.owner_view_fault(c.oid)
    ) as f (fault)
    where
        c.relnamespace = to_regnamespace('analytics')
        and regulars.holds_shops(c.oid)
        and f.fault is not null
    order by c.relname, f.fault
$$;

-- What an owner sees that is no model: who their customers are, their shops, and as of when the numbers hold.
create view dashboard.customer_contacts with (security_barrier = true) as
select
    c.shop_id,
    c.id as shop_customer_id,
    c.phone_number,
    c.email,
    c.customer_name,
    c.first_seen_at,
    c.erased_at
from regulars.customers as c
where c.shop_id = any(cast((select regulars.own_shops()) as uuid[]));

create view dashboard.shop_profiles with (security_barrier = true) as
select
    s.id as shop_id,
    s.shop_name,
    s.shop_slug,
    s.country,
    s.currency,
    s.timezone as time_zone
from public.user_shops as s
where s.id = any(cast((select regulars.own_shops()) as uuid[]));

-- One row, of no shop. `has_failed`: the last refresh that ended did not succeed.
create view dashboard.freshness with (security_barrier = true) as
select
    max(r.as_of) filter (where r.status = 'succeeded') as as_of,
    max(r.finished_at) filter (where r.status = 'succeeded') as refreshed_at,
    coalesce(
        max(r.refresh_id) filter (where r.status in ('failed', 'abandoned'))
        > coalesce(max(r.refresh_id) filter (where r.status = 'succeeded'), 0),
        false
    ) as has_failed
from regulars.refreshes as r;

comment on view dashboard.customer_contacts is
'Who a shop''s customers are. One row per customer of the owner''s shops.';
comment on column dashboard.customer_contacts.shop_id is 'The shop.';
comment on column dashboard.customer_contacts.shop_customer_id is 'The customer.';
comment on column dashboard.customer_contacts.phone_number is 'In E.164; null of a person who was erased.';
comment on column dashboard.customer_contacts.email is 'As the customer gave it, if they did.';
comment on column dashboard.customer_contacts.customer_name is 'As the customer gave it, if they did.';
comment on column dashboard.customer_contacts.first_seen_at is 'When the customer was first noted, as a moment.';
comment on column dashboard.customer_contacts.erased_at is 'When the person was erased; null if they were not.';
comment on view dashboard.shop_profiles is 'The owner''s shops. One row per shop.';
comment on column dashboard.shop_profiles.shop_id is 'The shop.';
comment on column dashboard.shop_profiles.shop_name is 'The shop''s name as its customers see it.';
comment on column dashboard.shop_profiles.shop_slug is 'The shop''s own address.';
comment on column dashboard.shop_profiles.country is 'Where its customers'' local phone numbers are read: ISO 3166.';
comment on column dashboard.shop_profiles.currency is 'ISO 4217 code of the shop''s amounts.';
comment on column dashboard.shop_profiles.time_zone is 'IANA name of the zone of the shop''s days and months.';
comment on view dashboard.freshness is 'As of when the numbers hold. One row, of no shop.';
comment on column dashboard.freshness.as_of is 'Everything committed before this moment is in the numbers.';
comment on column dashboard.freshness.refreshed_at is 'When the last refresh that succeeded ended.';
comment on column dashboard.freshness.has_failed is 'Whether the last refresh that ended did not succeed.';

-- Makes the roles and grants them what they may read, wherever that has not been done; returns the SQL that somebody
-- else must run first. Nobody but checkout is let into schema `regulars`, and of its functions only to ingest's.
create function regulars.grant_roles() returns setof text
language plpgsql set search_path = ''
as $$
declare
    callable regprocedure;
    relation regclass;
begin
    return query select * from regulars.make_roles();

    for callable in
        select p.oid::regprocedure
        from pg_catalog.pg_proc as p
        where p.pronamespace = 'regulars'::regnamespace and p.proname not in ('own_shops', 'today')
    loop
        execute format('revoke all on function %s from public', callable);
    end loop;

    if exists (select 1 from pg_catalog.pg_roles as r where r.rolname = 'regulars_checkout') then
        grant usage on schema regulars to regulars_checkout;
        for callable in
            select p.oid::regprocedure
            from pg_catalog.pg_proc as p
            where p.pronamespace = 'regulars'::regnamespace and p.proname in ('track', 'visit')
        loop
            execute format('grant execute on function %s to regulars_checkout', callable);
        end loop;
    end if;
    if exists (select 1 from pg_catalog.pg_roles as r where r.rolname = 'regulars_owner') then
        grant usage on schema dashboard to regulars_owner;
    end if;
    if exists (select 1 from pg_catalog.pg_roles as r where r.rolname = 'regulars_analyst') then
        grant usage on schema analytics to regulars_analyst;
    end if;

    for relation in
        select v.relation
        from unnest('{customer_contacts,shop_profiles,freshness}'::text[]) as t (name)
        cross join lateral to_regclass('dashboard.' || t.name) as v (relation)
    loop
        perform regulars.let_read('regulars_owner', relation);
    end loop;
    for relation in
        select c.oid::regclass
        from pg_catalog.pg_class as c
        where c.relnamespace = 'analytics'::regnamespace and c.relkind in ('r', 'v')
    loop
        perform regulars.apply_row_security(relation);
    end loop;
end
$$;

do $$
begin
    perform regulars.grant_roles();
end
$$;
