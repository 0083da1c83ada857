-- What tracking adds: who a shop's customers are, and which link they came by.

-- True where PostgreSQL can convert to this time zone. A zone that it can't read must not stop a refresh.
create function regulars.is_time_zone(name text) returns boolean
language plpgsql immutable strict set search_path = ''
as $$
begin
    perform timestamp '2000-01-01' at time zone name;
    return true;
exception
    when invalid_parameter_value then
        return false;
end
$$;

alter table public.user_shops
    add column if not exists country text not null default 'GH',
    add column if not exists timezone text not null default 'Africa/Accra',
    add column if not exists currency text not null default 'GHS';

create table public.shop_customers (
    id uuid not null default gen_random_uuid(),
    shop_id uuid not null references public.user_shops (id),
    phone_number text,
    email text,
    customer_name text,
    first_seen_at timestamptz not null default now(),
    -- Of a person who was erased: the row stands without identity, so that the orders keep their customer.
    erased_at timestamptz,
    primary key (shop_id, id),
    constraint shop_customers_one_per_phone unique (shop_id, phone_number),
    constraint shop_customers_phone_is_e164 check (phone_number ~ '^\+[1-9][0-9]{4,14}$'),
    constraint shop_customers_erased_have_no_identity check (
        case
            when erased_at is null then phone_number is not null
            else num_nonnulls(phone_number, email, customer_name) = 0
        end
    )
);

-- Composite, so that no order can point at another shop's customer.
alter table public.shop_orders
    add column shop_customer_id uuid,
    add constraint shop_orders_customer_of_the_shop
    foreign key (shop_id, shop_customer_id) references public.shop_customers (shop_id, id)
    on delete set null (shop_customer_id);

create index shop_orders_by_customer on public.shop_orders (shop_id, shop_customer_id);
create index shop_orders_without_customer on public.shop_orders (id) where shop_customer_id is null;

-- Of the foreign keys only the order's: each is checked in the path of money, and counts. The customer is the
-- order's, written in the same statement; a plain visit's shop is checked as it is written.
create table public.customer_tracking (
    id uuid primary key default gen_random_uuid(),
    shop_id uuid not null,
    shop_order_id uuid references public.shop_orders (id) on delete set null,
    shop_customer_id uuid,
    accessed_via_slug text,
    accessed_at timestamptz not null default now(),
    purchase_completed boolean not null default false,
    referrer text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    -- Made by a checkout whose visit has not come so far: what the visit tells takes the place of what it told.
    awaits_visit boolean not null default false,
    -- What the order's checkout told, as a hash: the same again is a replay, anything else a conflict.
    fingerprint uuid,
    constraint customer_tracking_one_per_order unique (shop_order_id)
);

-- In place of the foreign key: a customer who goes leaves no trace in the visits.
create function regulars.forget_deleted_customers() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    update public.customer_tracking as visits
    set shop_customer_id = null
    from old_rows
    where visits.shop_id = old_rows.shop_id and visits.shop_customer_id = old_rows.id;
    return null;
end
$$;

create trigger regulars_delete after delete on public.shop_customers
referencing old table as old_rows for each statement execute function regulars.forget_deleted_customers();

create table public.shop_slugs (
    shop_id uuid not null references public.user_shops (id),
    slug text primary key,
    valid_from timestamptz not null default now(),
    valid_to timestamptz,
    label text,
    check (valid_to > valid_from)
);
