-- Tracking: who a shop's customers are, and which link brought them. The tables are in a schema of
-- their own, because a storefront may have tables for the same purpose, and its code goes on using
-- them.

-- Whether PostgreSQL knows this time zone. An unknown one must not stop a refresh.
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

-- One row per shop and customer. It holds identity only; the models compute what a customer is
-- worth.
create table regulars.customers (
    id uuid not null default gen_random_uuid(),
    shop_id uuid not null references public.user_shops (id) on delete cascade,
    phone_number text,
    email text,
    customer_name text,
    first_seen_at timestamptz not null default now(),
    -- When the person was erased. The row stays, without identity, so that the orders keep their
    -- customer.
    erased_at timestamptz,
    primary key (shop_id, id),
    constraint customers_one_per_phone unique (shop_id, phone_number),
    constraint customers_phone_is_e164 check (phone_number ~ '^\+[1-9][0-9]{4,14}$'),
    constraint customers_erased_have_no_identity check (
        case
            when erased_at is null then phone_number is not null
            else num_nonnulls(phone_number, email, customer_name) = 0
        end
    )
);

-- One row per visit and one per matched order; a visit that ended in an order shares that order's
-- row. `accessed_at` is null if no visit is known: such a row only says whose the order is.
-- Matching never writes to the storefront's order.
create table regulars.tracking (
    id uuid primary key default gen_random_uuid(),
    shop_id uuid not null,
    shop_order_id uuid references public.shop_orders (id) on delete set null,
    shop_customer_id uuid,
    accessed_via_slug text,
    accessed_at timestamptz,
    referrer text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    -- The checkout named a visit that has not arrived yet: when it does, its facts replace those of
    -- the checkout.
    awaits_visit boolean not null default false,
    -- A hash of the checkout's facts: the same hash again is a replay, another one is a conflict.
    fingerprint uuid,
    constraint tracking_one_per_order unique (shop_order_id),
    -- Composite, so that no order can point at another shop's customer.
    constraint tracking_customer_of_the_shop foreign key (shop_id, shop_customer_id)
    references regulars.customers (shop_id, id) on delete set null (shop_customer_id)
);

create index tracking_by_customer on regulars.tracking (shop_id, shop_customer_id);

-- A row that only says whose an order is has no meaning once the order is deleted.
create function regulars.drop_match() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from regulars.tracking as t where t.id = new.id;
    return null;
end
$$;

create trigger regulars_match_without_order after update of shop_order_id on regulars.tracking
for each row when (new.shop_order_id is null and new.accessed_at is null)
execute function regulars.drop_match();

-- The storefront writes its links here: slugs rotate, and a shop hands out several. They are
-- deleted with their shop.
create table public.shop_slugs (
    shop_id uuid not null references public.user_shops (id) on delete cascade,
    slug text primary key,
    valid_from timestamptz not null default now(),
    valid_to timestamptz,
    label text,
    check (valid_to > valid_from)
);
