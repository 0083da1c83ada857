-- What each model and data test was when it last ran, so that models that changed are computed anew and others are not.

create table regulars.node_hashes (
    -- Of all models together, as in `regulars.refreshes`.
    fingerprint text not null,
    -- dbt's id.
    node_id text not null,
    -- Of all that its result depends on, the models that it reads among them.
    hash text not null,
    primary key (fingerprint, node_id)
);

alter table regulars.refreshes
drop constraint refreshes_mode_check,
add constraint refreshes_mode_check check (mode in ('refresh', 'partial', 'rebuild'));

alter table regulars.refresh_nodes
-- A model: whether all of it was computed, and not only what had changed.
add column is_anew boolean not null default false;

do $$
begin
    perform regulars.revoke_from_strangers();
end
$$;
