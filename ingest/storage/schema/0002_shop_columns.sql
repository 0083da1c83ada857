-- The columns of a shop that Regulars reads, added if the storefront's table lacks them. The table
-- is locked only if there is something to add.

create function regulars.add_missing_columns(relation regclass, wanted text[]) returns void
language plpgsql set search_path = ''
as $$
declare
    missing text;
begin
    select string_agg('add column ' || c.definition, ', ' order by c.position) into missing
    from unnest(wanted) with ordinality as c (definition, position)
    where not exists (
        select 1
        from pg_catalog.pg_attribute as a
        where
            a.attrelid = relation
            and a.attname = split_part(c.definition, ' ', 1)
            and not a.attisdropped
    );
    if missing is not null then
        execute format('alter table %s %s', relation, missing);
    end if;
end
$$;

do $$
begin
    perform regulars.add_missing_columns('public.user_shops', array[
        'user_id uuid',
        'shop_name text',
        'shop_slug text',
        'created_at timestamptz default now()',
        'country text not null default ''GH''',
        'timezone text not null default ''Africa/Accra''',
        'currency text not null default ''GHS'''
    ]);
end
$$;
