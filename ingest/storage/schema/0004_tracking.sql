-- What tracking adds: who a shop's customers are, and which link brought them. All of it stands in a schema of its own:
-- a storefront may have tables of the same purpose, and its code goes on using them.

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

-- One row per shop and person: identity alone. What a customer is worth is computed by the models.
create table regulars.customers (
    id uuid not null default gen_random_uuid(),
    shop_id uuid not null references public.user_shops (id) on delete cascade,
    phone_number text,
    email text,
    customer_name text,
    first_seen_at timestamptz not null default now(),
    -- Of a person who was erased: the row stands without identity, so that the orders keep their customer.
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

-- One row per visit and one per matched order; a visit that ended in an order is that order's row. `accessed_at` is
-- null where no visit is known: such a row only says whose the order is. The storefront's order is never written to.
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
    -- Made by a checkout whose visit has not come so far: what the visit tells takes the place of what it told.
    awaits_visit boolean not null default false,
    -- What the order's checkout told, as a hash: the same again is a replay, anything else a conflict.
    fingerprint uuid,
    constraint tracking_one_per_order unique (shop_order_id),
    -- Composite, so that no order can point at another shop's customer.
    constraint tracking_customer_of_the_shop foreign key (shop_id, shop_customer_id)
    references regulars.customers (shop_id, id) on delete set null (shop_customer_id)
);

create index tracking_by_customer on regulars.tracking (shop_id, shop_customer_id);

-- A row that only said whose an order is means nothing once the order is gone.
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

-- The storefront writes its links here: slugs rotate, and a shop hands out several. They go with their shop.
create table public.shop_slugs (
    shop_id uuid not null references public.user_shops (id) on delete cascade,
    slug text primary key,
    valid_from timestamptz not null default now(),
    valid_to timestamptz,
    label text,
    check (valid_to > valid_from)
);
