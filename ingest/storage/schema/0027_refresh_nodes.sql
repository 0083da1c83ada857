-- What each step, model and data test of a refresh took, and how many rows that readers see it changed.

create table regulars.refresh_nodes (
    refresh_id bigint not null references regulars.refreshes (refresh_id) on delete cascade,
    kind text not null check (kind in ('step', 'model', 'test')),
    -- A step's or model's name. Of data tests only those that failed have a row of their own; `all` is the sum of all.
    node text not null,
    -- In which order they ended.
    number integer not null,
    seconds double precision not null,
    has_failed boolean not null,
    -- Of the published relation, once it was published; a row that changed counts in both.
    rows_added bigint,
    rows_removed bigint,
    primary key (refresh_id, kind, node)
);

do $$
begin
    perform regulars.revoke_from_strangers();
end
$$;
