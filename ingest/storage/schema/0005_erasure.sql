-- Erasure: a person's phone, e-mail and name go, their orders and the totals stay. The customer's row stands
-- without identity, and a proof says when it was erased and by whom.

-- The proof, and what keeps the person out: the hash of the phone, keyed with a secret that is not in this
-- database, recognises an old order that comes later. It has no foreign key, because it must survive its shop.
create table regulars.erasures (
    shop_id uuid not null,
    shop_customer_id uuid not null,
    phone_hash bytea not null,
    -- Of the key alone: tells that another key is in use, which would recognise nobody.
    key_check bytea not null,
    erased_at timestamptz not null,
    erased_by text not null,
    primary key (shop_id, shop_customer_id)
);

create index erasures_by_moment on regulars.erasures (shop_id, erased_at);

-- Without its row, the person's old orders would have nowhere to go but to a new customer.
create function regulars.keep_erased_customer() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if exists (select 1 from public.user_shops as s where s.id = old.shop_id) then
        raise exception 'an erased customer''s row can''t be deleted: their old orders would get a new customer'
        using errcode = 'foreign_key_violation';
    end if;
    return old;
end
$$;

create trigger regulars_keep_erased before delete on regulars.customers
for each row when (old.erased_at is not null) execute function regulars.keep_erased_customer();

-- The row that an erased person's orders point at, made again where their shop was deleted and has come back.
create function regulars.restore_erased_customer(shop uuid, customer uuid) returns void
language sql set search_path = ''
as $$
    insert into regulars.customers (shop_id, id, erased_at)
    select e.shop_id, e.shop_customer_id, e.erased_at
    from regulars.erasures as e
    where e.shop_id = shop and e.shop_customer_id = customer
    on conflict do nothing
$$;

-- What a column of the storefront's orders holds where nothing is known: null, or an empty text where it may not be
-- null.
create function regulars.empty_value(column_name text) returns text
language sql stable parallel safe set search_path = ''
as $$
    select case when a.attnotnull then '' end
    from pg_catalog.pg_attribute as a
    where a.attrelid = 'public.shop_orders'::regclass and a.attname = column_name
$$;

-- An event without what identifies a person.
create function regulars.without_identity(event jsonb) returns jsonb
language sql immutable strict parallel safe
return event - cast('{phone,email,customer_name}' as text[]);

-- An order without any time counts as old: if in doubt, erase.
create function regulars.ordered_at(created_at timestamptz, updated_at timestamptz) returns timestamptz
language sql immutable parallel safe
return coalesce(created_at, updated_at, timestamptz '-infinity');
