-- A hosted database may grant everything on each new table to its public API's roles. Row-level security would hold
-- their reads and writes, but not TRUNCATE: so what we make is taken from them again.

create function regulars.revoke_from_strangers() returns void
language plpgsql set search_path = ''
as $$
declare
    stranger name;
    relation regclass;
begin
    for stranger, relation in
        select r.rolname, c.oid::regclass
        from pg_catalog.pg_roles as r
        cross join pg_catalog.pg_class as c
        where
            r.rolname in ('anon', 'authenticated')
            and c.relkind in ('r', 'v', 'm', 'S')
            and (
                c.relnamespace::regnamespace::text
                in ('regulars', 'staging', 'building', 'analytics', 'dashboard')
                or c.oid = 'public.shop_slugs'::regclass
            )
            and exists (
                select 1 from pg_catalog.aclexplode(c.relacl) as a where a.grantee = r.oid
            )
    loop
        execute format('revoke all on %s from %I', relation, stranger);
    end loop;
end
$$;

do $$
begin
    perform regulars.revoke_from_strangers();
end
$$;
