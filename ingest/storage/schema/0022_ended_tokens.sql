-- Which sign-in links were used and which sessions were signed out. A dashboard's tokens carry their own proof, so only
-- those that must not be valid any longer are stored, until they would have expired anyway.

create table regulars.ended_tokens (
    -- SHA-256 of the token's id: whoever reads this table can't make a token from it.
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    -- The user_id of the owner's shops, as the token has it.
    owner text not null check (length(owner) <= 255),
    expires_at timestamptz not null
);

create index ended_tokens_owner on regulars.ended_tokens (owner);
create index ended_tokens_expire on regulars.ended_tokens (expires_at);

-- Ends a token of the owner of the transaction; answers whether it was valid until now, so that of two who use a link
-- in the same moment one is refused. This is all that the dashboard ever writes. It stands in schema `dashboard`,
-- since owners reach no other, and may be called by whoever is an owner: so it writes for that owner alone, nothing
-- that lasts longer than a session, and only so much.
create function dashboard.end_token(token_hash bytea, expires_at timestamptz) returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
    owner_now text := nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub';
begin
    if coalesce(owner_now, '') = '' then
        raise exception 'a token is ended by its owner' using errcode = 'insufficient_privilege';
    end if;
    if expires_at is null or expires_at > now() + interval '1 day' then
        raise exception 'no token lasts that long' using errcode = 'invalid_parameter_value';
    end if;
    delete from regulars.ended_tokens as t
    where t.token_hash in (
        select old.token_hash
        from regulars.ended_tokens as old
        -- Later than its expiry: clocks differ, and a token is accepted for some seconds more.
        where old.expires_at < now() - interval '5 minutes'
        order by old.expires_at
        limit 100
        for update skip locked
    );
    if (select count(*) from regulars.ended_tokens as t where t.owner = owner_now) >= 1000 then
        raise exception 'an owner ends 1,000 tokens a day at most' using errcode = 'configuration_limit_exceeded';
    end if;
    insert into regulars.ended_tokens (token_hash, owner, expires_at)
    values (end_token.token_hash, owner_now, end_token.expires_at)
    on conflict do nothing;
    return found;
end
$$;

create function dashboard.is_token_ended(token_hash bytea) returns boolean
language sql stable security definer set search_path = ''
as $$
    select exists (select 1 from regulars.ended_tokens as t where t.token_hash = is_token_ended.token_hash)
$$;

-- Run again once the role is there, as regulars.grant_roles is.
create function regulars.let_owners_end_tokens() returns void
language plpgsql set search_path = ''
as $$
begin
    revoke all on function dashboard.end_token(bytea, timestamptz), dashboard.is_token_ended(bytea) from public;
    if exists (select 1 from pg_catalog.pg_roles as r where r.rolname = 'regulars_owner') then
        grant execute on function dashboard.end_token(bytea, timestamptz), dashboard.is_token_ended(bytea)
        to regulars_owner;
    end if;
end
$$;

do $$
begin
    perform regulars.let_owners_end_tokens();
    perform regulars.grant_roles();
    perform regulars.revoke_from_strangers();
end
$$;
