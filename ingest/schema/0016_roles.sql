-- The wall: three group roles, and what each may reach.
--
--   regulars_checkout   calls ingest's functions and reads nothing
--   regulars_owner      reads schema `dashboard`: the rows of their own shops, by the claims of the transaction
--   regulars_analyst    reads schema `analytics`: every shop, nobody's phone, e-mail or name
--
-- Roles belong to the server and not to this database, and we may not be allowed to make them. So everything here
-- can be run again: once the roles are there, `regulars migrate` grants what was left out.

create schema if not exists analytics;
create schema if not exists dashboard;

-- Makes the roles that are missing; answers the SQL of those that we may not make.
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
                -- Somebody at another database of this server was quicker.
                null;
        end;
    end loop;
end
$$;

-- Grants a privilege where the role is there and has not got it: a grant that changes nothing would still write.
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

-- Puts the wall around one relation of schema `analytics`, in the transaction that made it. Does nothing where it
-- stands already: a refresh takes no lock that a reader would feel.
--
-- A table gets row security, which lets the planner use its indexes for an owner's pages in order, and a view that
-- reads it with the owner's own rights; owners can't name the table itself, its schema is closed to them. A
-- materialized view can't have row security: its view is a barrier that keeps to the owner's shops.
create function regulars.wall(relation regclass) returns void
language plpgsql set search_path = ''
as $$
declare
    walled record;
    face text;
    shown name[];
begin
    select
        c.relname as name,
        c.relkind as kind,
        c.relrowsecurity as has_row_security,
        (
            select array_agg(a.attname order by a.attnum)
            from pg_catalog.pg_attribute as a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        ) as columns
    into strict walled
    from pg_catalog.pg_class as c
    where c.oid = relation;

    -- Dropped and built anew, a schema has lost its grants. Two models built at once must not both give them.
    if
        exists (select 1 from pg_catalog.pg_roles as r where r.rolname = 'regulars_analyst')
        and not pg_catalog.has_schema_privilege('regulars_analyst', 'analytics', 'usage')
    then
        perform pg_catalog.pg_advisory_xact_lock(hashtext('regulars.wall'));
        grant usage on schema analytics to regulars_analyst;
    end if;
    perform regulars.let_read('regulars_analyst', relation);
    if walled.kind not in ('r', 'm') or not 'shop_id' = any (walled.columns) then
        return;
    end if;

    if walled.kind = 'r' then
        if not walled.has_row_security then
            execute format('alter table %s enable row level security', relation);
            execute format(
                'create policy regulars_owner_reads on %s for select
                using (shop_id = any ((select regulars.own_shops())::uuid[]))', relation
            );
        end if;
        if
            exists (select 1 from pg_catalog.pg_roles as r where r.rolname = 'regulars_analyst')
            and not exists (
                select 1
                from pg_catalog.pg_policy as p
                where p.polrelid = relation and p.polname = 'regulars_analyst_reads'
            )
        then
            execute format(
                'create policy regulars_analyst_reads on %s for select to regulars_analyst using (true)', relation
            );
        end if;
        perform regulars.let_read('regulars_owner', relation);
    end if;

    face := format('dashboard.%I', walled.name);
    if to_regclass(face) is not null then
        select array_agg(a.attname order by a.attnum) into shown
        from pg_catalog.pg_attribute as a
        where a.attrelid = to_regclass(face) and a.attnum > 0 and not a.attisdropped;
        if shown is distinct from walled.columns then
            execute format('drop view %s', face);
            shown := null;
        end if;
    end if;
    if shown is null then
        execute format(
            'create view %s with (%s) as select %s from %s as walled %s',
            face,
            case walled.kind when 'r' then 'security_invoker = true' else 'security_barrier = true' end,
            (select string_agg(format('walled.%I', c), ', ') from unnest(walled.columns) as c),
            relation,
            case walled.kind
                when 'm' then 'where walled.shop_id = any ((select regulars.own_shops())::uuid[])' else ''
            end
        );
    end if;
    perform regulars.let_read('regulars_owner', face::regclass);
end
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
where c.shop_id = any ((select regulars.own_shops())::uuid[]);

create view dashboard.shop_profiles with (security_barrier = true) as
select
    s.id as shop_id,
    s.shop_name,
    s.shop_slug,
    s.country,
    s.currency,
    s.timezone as time_zone
from public.user_shops as s
where s.id = any ((select regulars.own_shops())::uuid[]);

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

-- Makes the roles and grants them what they may, wherever that has not been done; answers the SQL that somebody
-- else must run first. Nobody but checkout is let into schema `regulars`, and of its functions only to ingest's.
create function regulars.raise_wall() returns setof text
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
        where p.pronamespace = 'regulars'::regnamespace and p.proname <> 'own_shops'
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
        where c.relnamespace = 'analytics'::regnamespace and c.relkind in ('r', 'm', 'v')
    loop
        perform regulars.wall(relation);
    end loop;
end
$$;

do $$
begin
    perform regulars.raise_wall();
end
$$;
