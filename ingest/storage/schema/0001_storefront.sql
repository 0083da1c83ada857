-- The storefront's own tables, created only if they are missing. Existing tables are not touched
-- here: the next two migrations add the columns that Regulars reads and a table lacks, and each
-- locks one table for a moment.

do $$
declare
    wrong text;
begin
    select string_agg(format('%s.%s is %s', c.table_name, c.column_name, c.data_type), ', ')
    into wrong
    from information_schema.columns as c
    where
        c.table_schema = 'public'
        and (c.table_name, c.column_name) in (
            ('user_shops', 'id'), ('shop_orders', 'id'), ('shop_orders', 'shop_id'),
            ('shop_profits', 'id'), ('shop_profits', 'shop_id'),
            ('withdrawal_requests', 'id'), ('withdrawal_requests', 'shop_id')
        )
        and c.data_type <> 'uuid';
    if wrong is not null then
        raise exception 'Regulars needs uuid keys, but %', wrong
            using hint = 'Point DATABASE_URL at the storefront''s database, or at an empty one.';
    end if;
end
$$;

-- Row-level security is enabled (in 0015) only on tables that this migration creates. Tables that
-- exist are the storefront's to protect: enabling it under a running shop could hide the shop's
-- rows from its own code.
create table regulars.created_tables (name text primary key);

insert into regulars.created_tables (name)
select t.name
from (
    values ('user_shops'), ('shop_orders'), ('shop_profits'), ('withdrawal_requests')
) as t (name)
where to_regclass('public.' || t.name) is null;

create table if not exists public.user_shops (
    id uuid primary key default gen_random_uuid(),
    user_id uuid,
    shop_name text,
    shop_slug text unique,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table if not exists public.shop_orders (
    id uuid primary key default gen_random_uuid(),
    shop_id uuid not null references public.user_shops (id),
    customer_name text,
    customer_email text,
    customer_phone text,
    network text,
    volume_gb numeric,
    base_price numeric(12, 2) not null default 0,
    profit_amount numeric(12, 2) not null default 0,
    total_price numeric(12, 2) not null,
    order_status text not null default 'pending',
    payment_status text not null default 'pending',
    reference_code text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table if not exists public.shop_profits (
    id uuid primary key default gen_random_uuid(),
    shop_id uuid not null references public.user_shops (id),
    shop_order_id uuid references public.shop_orders (id) on delete set null,
    profit_amount numeric(12, 2) not null,
    status text not null default 'pending',
    credited_at timestamptz,
    created_at timestamptz not null default now()
);

create table if not exists public.withdrawal_requests (
    id uuid primary key default gen_random_uuid(),
    shop_id uuid not null references public.user_shops (id),
    user_id uuid,
    amount numeric(12, 2) not null,
    status text not null default 'pending',
    created_at timestamptz not null default now()
);

-- Timestamps of a live storefront may be naive UTC. There is a function for each kind, so that one
-- expression reads both.
create function regulars.as_utc(moment timestamp) returns timestamptz
language sql immutable strict parallel safe
return moment at time zone 'UTC';

create function regulars.as_utc(moment timestamptz) returns timestamptz
language sql immutable strict parallel safe
return moment;
