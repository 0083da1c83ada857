-- Erasure: a person's phone, e-mail and name are removed, and what may name them in their visits;
-- their orders and the totals stay. The customer's row stays without identity, and a proof says when
-- it was erased and by whom.

-- Proofs of erasure. The hash of the phone recognises old orders that arrive later; its key is a
-- secret outside this database. There is no foreign key, because a proof must survive its shop.
create table regulars.erasures (
    shop_id uuid not null,
    shop_customer_id uuid not null,
    phone_hash bytea not null,
    -- A hash of the key alone. It shows when another key is in use, which would recognise nobody.
    key_check bytea not null,
    erased_at timestamptz not null,
    erased_by text not null,
    primary key (shop_id, shop_customer_id)
);

create index erasures_by_moment on regulars.erasures (shop_id, erased_at);

-- Without this row, the person's old orders would be matched with a new customer.
create function regulars.keep_erased_customer() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if exists (select 1 from public.user_shops as s where s.id = old.shop_id) then
        raise exception
            'an erased customer''s row can''t be deleted: their old orders would get a new customer'
        using errcode = 'foreign_key_violation';
    end if;
    return old;
end
$$;

create trigger regulars_keep_erased before delete on regulars.customers
for each row when (old.erased_at is not null) execute function regulars.keep_erased_customer();

-- Creates the row that an erased person's orders point at again, if their shop was deleted and has
-- come back.
create function regulars.restore_erased_customer(shop uuid, customer uuid) returns void
language sql set search_path = ''
as $$
    insert into regulars.customers (shop_id, id, erased_at)
    select e.shop_id, e.shop_customer_id, e.erased_at
    from regulars.erasures as e
    where e.shop_id = shop and e.shop_customer_id = customer
    on conflict do nothing
$$;

-- The empty value of a text column of the storefront's orders: null, or '' if the column is not
-- null.
create function regulars.empty_value(column_name text) returns text
language sql stable parallel safe set search_path = ''
as $$
    select case when a.attnotnull then '' end
    from pg_catalog.pg_attribute as a
    where a.attrelid = 'public.shop_orders'::regclass and a.attname = column_name
$$;

-- The event without the person's identity, and without what may hold it: an address that linked to
-- the shop, or a campaign, can be any text.
create function regulars.without_identity(event jsonb) returns jsonb
language sql immutable strict parallel safe
return event - cast(
    '{phone,email,customer_name,referrer,utm_source,utm_medium,utm_campaign}' as text[]
);

-- An order without any time counts as old: if in doubt, erase.
create function regulars.ordered_at(created_at timestamptz, updated_at timestamptz)
returns timestamptz
language sql immutable parallel safe
return coalesce(created_at, updated_at, timestamptz '-infinity');
