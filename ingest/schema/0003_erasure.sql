-- Erasure: a person's phone, e-mail and name go, their orders and the totals stay. The customer's row stands
-- without identity, and a proof says when it was erased and by whom.

-- The proof, and what keeps the person out: the hash of the phone, keyed with a secret that is not in this
-- database, tells an old order that comes later. The foreign key keeps the customer's row from being deleted:
-- without it the person's old orders would have nowhere to go but to a new customer.
create table regulars.erasures (
    shop_id uuid not null,
    shop_customer_id uuid not null,
    phone_hash bytea not null,
    -- Of the key alone: tells that another key is in use, which would recognise nobody.
    key_check bytea not null,
    erased_at timestamptz not null,
    erased_by text not null,
    primary key (shop_id, shop_customer_id),
    foreign key (shop_id, shop_customer_id) references public.shop_customers (shop_id, id)
);

create index erasures_by_moment on regulars.erasures (shop_id, erased_at);

-- What of an event is a person's.
create function regulars.without_identity(event jsonb) returns jsonb
language sql immutable strict parallel safe
return event - '{phone,email,customer_name}'::text[];

-- An order that has no time at all counts as old: rather a purchase too many is erased than a person kept.
create function regulars.ordered_at(created_at timestamptz, updated_at timestamptz) returns timestamptz
language sql immutable parallel safe
return coalesce(created_at, updated_at, timestamptz '-infinity');
