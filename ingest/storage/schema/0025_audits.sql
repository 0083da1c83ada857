-- Audits: now and then, shops drawn by chance are computed from raw rows, and what is published is held against it.

-- Shops whose numbers the next refresh computes anew: somebody asked for it, or an audit found them to differ.
create table regulars.shops_to_rebuild (
    shop_id uuid primary key,
    asked_at timestamptz not null default clock_timestamp()
);

create table regulars.audits (
    audit_id bigint generated always as identity primary key,
    audited_at timestamptz not null default clock_timestamp(),
    shops uuid[] not null,
    relations text[] not null,
    differences bigint not null
);

-- Each row that differed, as it was published and as it was computed: one that is in both under one key is here twice.
create table regulars.drift (
    audit_id bigint not null references regulars.audits (audit_id) on delete cascade,
    shop_id uuid not null,
    -- Its slug as it was published.
    shop text not null,
    relation text not null,
    -- Whether readers were shown it; otherwise it is what they should have been shown.
    was_published boolean not null,
    contents jsonb not null,
    -- The refresh that computed the shop anew.
    rebuilt_by bigint
);

create index drift_not_rebuilt on regulars.drift (shop_id) where rebuilt_by is null;

do $$
begin
    perform regulars.revoke_from_strangers();
end
$$;
