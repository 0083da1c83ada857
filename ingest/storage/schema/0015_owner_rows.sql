-- Row security on raw tables: an owner sees the rows of their own shops and no others, by the claims that
-- PostgREST, Supabase and our own API set for a transaction. Nothing is granted here: who may read at all is
-- decided where roles are made. The function runs once a statement (an InitPlan), not once a row.

create function regulars.own_shops() returns uuid[]
language sql stable security definer set search_path = ''
as $$
    select coalesce(array_agg(s.id), '{}')
    from public.user_shops as s
    where s.user_id::text = nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
$$;

do $$
declare
    target record;
begin
    for target in
        select t.folder, t.name, t.shop_column
        from (
            values
            ('public', 'user_shops', 'id'),
            ('public', 'shop_orders', 'shop_id'),
            ('public', 'shop_profits', 'shop_id'),
            ('public', 'withdrawal_requests', 'shop_id'),
            ('public', 'shop_slugs', 'shop_id'),
            ('regulars', 'customers', 'shop_id'),
            ('regulars', 'tracking', 'shop_id')
        ) as t (folder, name, shop_column)
        where
            t.name in ('shop_slugs', 'customers', 'tracking')
            or t.name in (select c.name from regulars.created_tables as c)
    loop
        execute format(
            'alter table %1$I.%2$I enable row level security;
            create policy regulars_owner_reads on %1$I.%2$I for select
            using (%3$I = any ((select regulars.own_shops())::uuid[]))', target.folder, target.name, target.shop_column
        );
    end loop;
end
$$;

-- The current local day of a time zone. Views compare it with the days that the marts hold, so that what time alone
-- changes needs no refresh. The setting `regulars.now`, a moment, takes the clock's place for a transaction that asks
-- how things will look then.
create function regulars.today(time_zone text) returns date
language sql stable parallel safe
return cast(
    coalesce(cast(nullif(current_setting('regulars.now', true), '') as timestamptz), now())
    at time zone today.time_zone as date
);
